//! The name of an upload that goes on after this process was killed: the same for one user of one machine and one image.
//!
//! **Invariant:** tells nobody's user name or host name; it is a hash of them.

use std::{fs, os::unix::fs::MetadataExt as _};

use super::ImageName;

/// Characters of it: 128 bits.
const LENGTH: usize = 32;

/// Of this user on this machine.
pub(super) fn usual(name: ImageName) -> String {
    // What cannot be read is as if it were empty: then more people share a name, and the later of two takes over.
    let user = fs::metadata("/proc/self").map(|it| it.uid());
    let host = fs::read("/proc/sys/kernel/hostname");
    of(user.unwrap_or_default(), &host.unwrap_or_default(), name)
}

fn of(user: u32, host: &[u8], name: ImageName) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&user.to_le_bytes()).update(name.digest());
    hasher.update(host);
    let mut id = hasher.finalize().to_hex().to_string();
    id.truncate(LENGTH);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_for_one_user_one_host_and_one_image() {
        let name = ImageName::of_digest([7; 32]);
        let id = of(1, b"a", name);
        assert_eq!(
            (id.len(), id.as_str()),
            (LENGTH, of(1, b"a", name).as_str())
        );
        assert_ne!(id, of(2, b"a", name));
        assert_ne!(id, of(1, b"b", name));
        assert_ne!(id, of(1, b"a", ImageName::of_digest([8; 32])));
        assert_eq!(usual(name), usual(name));
    }
}
