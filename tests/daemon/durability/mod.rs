//! Stored data: on a full disk, and when spaces are created and deleted.

mod full_disk;
mod spaces;
