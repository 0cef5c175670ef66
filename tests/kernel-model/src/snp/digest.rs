//! The SNP launch digest (kernel.md section 8.1).
//!
//! **Invariant:** it only grows: nothing takes a page out again.

use sha2::{Digest, Sha384};

use super::update::{NORMAL, VMSA};

/// SHA-384 over a chain of pages; 48 zero bytes at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchDigest([u8; 48]);

impl Default for LaunchDigest {
    fn default() -> Self {
        Self([0; 48])
    }
}

impl LaunchDigest {
    /// Measures one page. Only NORMAL pages and VMSAs are measured with their contents.
    pub fn extend(&mut self, page_type: u8, contents: &[u8; 4096], gpa: u64) {
        let contents: [u8; 48] = if matches!(page_type, NORMAL | VMSA) {
            Sha384::digest(contents).into()
        } else {
            [0; 48]
        };
        // PAGE_INFO: digest, contents, length u16, page type, is-IMI, three VMPL permissions, reserved, GPA u64.
        let mut info = [0; 0x70];
        let parts: [(usize, &[u8]); 5] = [
            (0, &self.0),
            (0x30, &contents),
            (0x60, &0x70_u16.to_le_bytes()),
            (0x62, &[page_type]),
            (0x68, &gpa.to_le_bytes()),
        ];
        for (at, bytes) in parts {
            for (to, from) in info.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        }
        self.0 = Sha384::digest(info).into();
    }

    /// The 48 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;

    fn of(pages: &[(u8, u64)]) -> String {
        let mut digest = LaunchDigest::default();
        for (page_type, gpa) in pages {
            digest.extend(*page_type, &[0; 4096], *gpa);
        }
        hex(digest.bytes())
    }

    #[test]
    fn known_answers_of_one_page() {
        for (page_type, gpa, expected) in [
            (
                1,
                0,
                "9d13634b6014bb21cf059b2dc694e7bff01a8a7137041100cd2b695f3d10fb687267b97808b27f8f471d943bc6f53a20",
            ),
            (
                3,
                0,
                "70c0ecaab9608f14ebf8ac6f0f07bcd8728f4e2ab30382b539b4de4de904ca9f8ebdf4b2cd3cd84dd996bd55dd794676",
            ),
            (
                4,
                0,
                "ed501ced343b88df8d4f114dc336e76fa53d3ad6ef71dab22a38755569189d2844af45f162ec25b45beefc8ea308cba7",
            ),
            (
                5,
                0x1000,
                "ede71fa5ddc72c3de70c6ff1149b8ecb6ef08b74b1d3a72c2cece10bd140c06a6181343d33def7db6cc0da1ff9ba4805",
            ),
            (
                6,
                0x2000,
                "8247f0b6bd9552be4f11744b909bfba21d50069716443fef6ee71d4da846b8b21fdb2d0b23245bd2886b91b95f8b71d8",
            ),
            (
                2,
                0xffff_ffff_f000,
                "f4577da9b848673216afc3909e5ea7aa80150dda441526874cd2b0282894709b46484c13a07221aefbedfff667199259",
            ),
        ] {
            assert_eq!(of(&[(page_type, gpa)]), expected, "type {page_type}");
        }
    }

    #[test]
    fn known_answers_of_two_pages_in_either_order() {
        let (normal, zero) = ((1, 0), (3, 0x1000));
        assert_eq!(
            of(&[normal, zero]),
            "3bb77aec4f0d90c147b6b7884b6bd5741994d2575305f89639c95186690d949261186702ef51f2fa7c0dd4c90f03ebfd"
        );
        assert_eq!(
            of(&[zero, normal]),
            "01df08676606c46d74c6e01f0392457b23fe411ad8dac289cc2e74e4e111ce60723012c8fcb7f95e4568aa7514800c5c"
        );
    }
}
