//! What a registry wants to see before it answers: the WWW-Authenticate of its 401.
//!
//! **Invariant:** a challenge that is not understood is none.

/// What it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token, which is given out there.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The first challenge of a header that is understood.
pub(super) fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest;
    while let Some((name, value, behind)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            _ => {}
        }
        rest = behind;
    }
    realm.map(|realm| Challenge::Bearer { realm, service })
}

/// The next `name=value` or `name="value"`, and what is behind it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',']);
    let (name, value) = text.split_once('=')?;
    let Some(quoted) = value.strip_prefix('"') else {
        let (value, behind) = value.split_once(',').unwrap_or((value, ""));
        return Some((name.trim(), value.trim().to_owned(), behind));
    };
    let (mut plain, mut is_escaped) = (String::new(), false);
    for (at, letter) in quoted.char_indices() {
        match letter {
            '"' if !is_escaped => return Some((name.trim(), plain, quoted.get(at + 1..)?)),
            '\\' if !is_escaped => is_escaped = true,
            _ => {
                is_escaped = false;
                plain.push(letter);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_and_bearer_are_understood_and_nothing_else() {
        assert_eq!(challenge(r#"Basic realm="it""#), Some(Challenge::Basic));
        assert_eq!(challenge("basic"), Some(Challenge::Basic));
        let bearer = |service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: "https://a/token?x=1,2".to_owned(),
                service: service.map(str::to_owned),
            })
        };
        let text = r#"Bearer realm="https://a/token?x=1,2",service="it \"s\"", scope="a:b:pull""#;
        assert_eq!(challenge(text), bearer(Some(r#"it "s""#)));
        let text = r#"BEARER scope=pull, Realm="https://a/token?x=1,2""#;
        assert_eq!(challenge(text), bearer(None));
        for wrong in [
            "",
            "Digest realm=a",
            "Bearer",
            "Bearer realm=\"open",
            "Bearer service=a",
        ] {
            assert_eq!(challenge(wrong), None, "{wrong}");
        }
    }
}
