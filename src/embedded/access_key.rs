use std::fmt;

use uuid::Uuid;

/// The one key pair both endpoints of a stack accept.
#[derive(Clone)]
pub(super) struct AccessKey {
    pub id: String,
    pub secret: String,
}

impl AccessKey {
    /// A key pair from the operating system's random numbers, in the shape of AWS's own: 20 and 40 characters.
    pub fn random() -> Self {
        let hex = |length: usize| -> String {
            let digits = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            // Some digits of a UUID are fixed; both halves together still hold far over 128 random bits.
            digits.chars().take(length).collect()
        };
        Self { id: format!("AKIA{}", hex(16).to_uppercase()), secret: hex(40) }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}
