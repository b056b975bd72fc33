//! Proofs make a login cheap once the full hash has been verified.
//!
//! A proof is the HMAC of a password under a key that only this process knows and never stores,
//! bound to the user and to the stored hash that the password was verified against. A reader of
//! this process' memory without the key could not even try passwords; with it, they can read the
//! passwords of the logins anyway. A change of the user removes the proof.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The HMAC itself. Compared only by [`Prover`], in constant time, or as a key of a map, which can
/// reveal only whether two attempts are the same.
pub(super) type Mac = [u8; 32];

/// Makes proofs.
pub(super) struct Prover {
    keyed: Hmac<Sha256>,
}

/// One attempt: a user, the hash it must match, and the password.
pub(super) struct Attempt {
    hmac: Hmac<Sha256>,
}

impl Prover {
    /// With a random key of its own.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        Ok(Self { keyed: Hmac::new(&key.into()) })
    }

    pub(super) fn attempt(&self, username: &str, hash: &str, password: &str) -> Attempt {
        let mut hmac = self.keyed.clone();
        for part in [username, hash, password] {
            // With its length, so that different attempts never have the same input.
            hmac.update(&(part.len() as u64).to_be_bytes());
            hmac.update(part.as_bytes());
        }
        Attempt { hmac }
    }
}

impl Attempt {
    pub(super) fn matches(&self, proof: &Mac) -> bool {
        self.hmac.clone().verify_slice(proof).is_ok()
    }

    pub(super) fn into_mac(self) -> Mac {
        self.hmac.finalize().into_bytes().into()
    }
}
