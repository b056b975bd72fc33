//! What is stored: on a full disk, and when spaces come and go.

mod full_disk;
mod spaces;
