//! The state of the limit in HTTP: `ETag` in answers, `If-Match` in requests.
//!
//! The tag names the limit, not the whole answer: the active connections beside it change without a new revision. So
//! there is no `304`, and `If-None-Match` is ignored.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::control::Tag;

/// The entity tag of a state of the limit: `"5f3a90c2d1e84b76-7"`.
pub(super) fn etag(tag: Tag) -> HeaderValue {
    // Digits in quotes are a header value, so the fallback is never taken.
    HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The states on which a change is conditional; `None` if it is unconditional. A bare revision, as sent by earlier
/// versions, is well formed and matches none.
///
/// # Errors
/// A text about the error, for anything but `*` or a list of tags that this server can have sent. A foreign tag could
/// never match, and this error helps more than a mismatch.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Vec<Tag>>, String> {
    let mut revisions = Vec::new();
    let mut any = false;
    let mut present = false;
    for line in headers.get_all(header::IF_MATCH) {
        present = true;
        let text = line.to_str().map_err(|_| malformed("bytes beyond ASCII"))?;
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if tag == "*" {
                any = true;
            } else {
                revisions.push(revision(tag).ok_or_else(|| malformed(tag))?);
            }
        }
    }
    match (present, any, revisions.is_empty()) {
        (false, ..) | (true, true, true) => Ok(None),
        (true, false, false) => Ok(Some(revisions)),
        (true, true, false) => Err(malformed("`*` together with revisions")),
        (true, false, true) => Err(malformed("nothing")),
    }
}

fn revision(tag: &str) -> Option<Tag> {
    Tag::parse(tag.strip_prefix('"')?.strip_suffix('"')?)
}

fn malformed(got: &str) -> String {
    format!("If-Match must be * or entity tags of this server, such as the ETag of GET /limit, got {got}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<Option<Vec<Tag>>, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::IF_MATCH, HeaderValue::from_str(line).unwrap());
        }
        if_match(&headers)
    }

    #[test]
    fn one_tag_many_tags_any_and_none() {
        assert_eq!(parse(&[]).unwrap(), None);
        assert_eq!(parse(&["*"]).unwrap(), None);
        let tag = |epoch, revision| Tag { epoch, revision };
        assert_eq!(parse(&["\"00000000000000ff-7\""]).unwrap(), Some(vec![tag(255, 7)]));
        assert_eq!(
            parse(&["\"00000000000000ff-7\", \"8\" ,", "\"0\""]).unwrap(),
            Some(vec![tag(255, 7), tag(0, 8), tag(0, 0)])
        );
    }

    #[test]
    fn what_this_server_cannot_have_given_out_is_malformed() {
        for line in [
            "",
            ",",
            "7",
            "\"7",
            "\"\"",
            "\"x\"",
            "\"-7\"",
            "\"+7\"",
            "\"07\"",
            "W/\"7\"",
            "*, \"7\"",
            "\"99999999999999999999\"",
        ] {
            assert!(parse(&[line]).is_err(), "{line}");
        }
    }
}
