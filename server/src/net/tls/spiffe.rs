//! What a SPIFFE ID looks like ("SPIFFE-ID", sections 2 and 3; "X509-SVID", section 2).
//!
//! **Invariant:** an ID that passes is spelled in exactly one way, so comparing texts is comparing identities.

/// The longest ID, in bytes (SPIFFE-ID, 2.3).
const MAX_BYTES: usize = 2048;
/// The longest trust domain, in bytes (SPIFFE-ID, 2.1).
const MAX_DOMAIN_BYTES: usize = 255;

/// Whether `text` is the ID of a workload, and if not, why.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it has more than 2048 bytes");
    }
    let rest = text
        .strip_prefix("spiffe://")
        .ok_or("its scheme is not spiffe")?;
    let (domain, path) = rest.split_once('/').ok_or("it names no path")?;
    if domain.is_empty() || domain.len() > MAX_DOMAIN_BYTES {
        return Err("its trust domain is empty or too long");
    }
    let lower =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if !domain.bytes().all(lower) {
        return Err(
            "its trust domain has other characters than a-z, 0-9, dot, dash and underscore",
        );
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    for segment in path.split('/') {
        match segment {
            "" => return Err("its path has an empty segment"),
            "." | ".." => return Err("its path has a relative segment"),
            _ if !segment.bytes().all(plain) => {
                return Err(
                    "its path has other characters than letters, digits, dot, dash and underscore",
                );
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_workloads_pass() {
        for id in [
            "spiffe://a/b",
            "spiffe://prod.example-1_x/ns/Default/sa/...x/1-2_3",
        ] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
        let longest = format!("spiffe://a/{}", "x".repeat(MAX_BYTES - 11));
        assert_eq!(check(&longest), Ok(()));
    }

    #[test]
    fn everything_else_does_not() {
        let long = format!("spiffe://a/{}", "x".repeat(MAX_BYTES - 10));
        let domain = format!("spiffe://{}/x", "a".repeat(MAX_DOMAIN_BYTES + 1));
        for id in [
            "",
            "spiffe://",
            "spiffe://a",
            "spiffe://a/",
            "spiffe:///x",
            "SPIFFE://a/b",
            "https://a/b",
            "spiffe://A/b",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/b/",
            "spiffe://a//b",
            "spiffe://a/./b",
            "spiffe://a/..",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://a/%62",
            "spiffe://a/é",
            "spiffe://a/b c",
            "spiffe://a/b\n",
            &long,
            &domain,
        ] {
            assert!(check(id).is_err(), "{id}");
        }
    }
}
