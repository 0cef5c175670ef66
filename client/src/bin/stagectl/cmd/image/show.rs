//! Stored images, as documents.
//!
//! JSON: `{"name", "size", "use_time", "in_use"}`, and for a list `{"images": […]}`; bytes, RFC 3339.
//!
//! **Invariant:** nothing is shown that the JSON document lacks.

use std::fmt;

use serde::Serialize;
use stagepages_client::{addr::Size, v1};

use crate::table::Table;

/// One image.
#[derive(Debug, Serialize)]
pub(super) struct ImageDocument {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) use_time: Option<String>,
    pub(super) in_use: bool,
}

/// All of them.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    images: Vec<ImageDocument>,
}

impl From<&v1::Image> for ImageDocument {
    fn from(image: &v1::Image) -> Self {
        Self {
            name: image.name.clone(),
            size: image.size,
            use_time: image.use_time.as_ref().map(ToString::to_string),
            in_use: image.in_use,
        }
    }
}

impl Listed {
    pub(super) fn new(images: &[v1::Image]) -> Self {
        Self {
            images: images.iter().map(ImageDocument::from).collect(),
        }
    }
}

impl fmt::Display for ImageDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Table::bare();
        facts.row(["name".into(), self.name.clone()]);
        facts.row(["size".into(), Size(self.size).to_string()]);
        facts.row(["last used".into(), used(self)]);
        facts.row(["in use".into(), yes(self.in_use)]);
        write!(f, "{facts}")
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["IMAGE", "SIZE", "LAST USED", "IN USE"]);
        for it in &self.images {
            let size = Size(it.size).to_string();
            table.row([it.name.clone(), size, used(it), yes(it.in_use)]);
        }
        write!(f, "{table}")
    }
}

fn used(image: &ImageDocument) -> String {
    image.use_time.clone().unwrap_or_default()
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_for_people_has_what_the_document_has() {
        let image = v1::Image {
            name: "images/sha256:00".into(),
            size: 3 << 20,
            use_time: Some(prost_types::Timestamp::default()),
            in_use: true,
        };
        let listed = Listed::new(&[image]);
        assert_eq!(
            listed.to_string(),
            "IMAGE             SIZE  LAST USED             IN USE\nimages/sha256:00  3M    1970-01-01T00:00:00Z  yes"
        );
        let json = serde_json::to_value(&listed).unwrap();
        assert_eq!(
            json["images"][0],
            serde_json::json!({"name": "images/sha256:00", "size": 3 << 20, "use_time": "1970-01-01T00:00:00Z", "in_use": true})
        );
    }
}
