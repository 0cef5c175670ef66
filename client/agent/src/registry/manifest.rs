//! Which blob a file of an artifact is.
//!
//! **Invariant:** a manifest is read to the end of its bound and no further, and believed only under its digest.

use oci_client::{
    Reference,
    manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest},
};
use reqwest::header::{ACCEPT, HeaderValue};
use sha2::{Digest as _, Sha256};
use stagepages_client::hex;

use super::{
    Puller,
    named::{Named, is_sha256},
    wrong,
};
use crate::fault::Fault;

/// The largest manifest; the distribution specification asks for as much of registries.
const MOST: usize = 4 << 20;
/// The annotation with a layer's title.
const TITLE: &str = "org.opencontainers.image.title";
/// Titles that are listed where one is missing.
const LISTED: usize = 8;

/// A layer: one file.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    /// With its algorithm.
    pub(super) digest: String,
    pub(super) bytes: u64,
}

impl Puller {
    /// The layer that holds the file.
    pub(super) async fn layer(&self, named: &Named, file: Option<&str>) -> Result<Layer, Fault> {
        let digest = named.digest();
        let manifest = match (self.cache.manifest(digest).await, named) {
            (Some(bytes), _) => bytes,
            (None, Named::OnNode(_)) => return Err(wrong::not_on_node(digest, None)),
            (None, Named::InRegistry(reference)) => {
                let bytes = self.manifest(reference, digest).await?;
                let found = format!("sha256:{}", hex::digits(&Sha256::digest(&bytes)));
                if found != digest {
                    return Err(wrong::mismatch(reference, &format!("it has {found}")));
                }
                self.cache.keep_manifest(digest, &bytes).await?;
                bytes
            }
        };
        let manifest: OciImageManifest = serde_json::from_slice(&manifest).map_err(|error| {
            let text = format!(
                "{named} is no image manifest: {error}; give the digest of the manifest itself, not of an index of several"
            );
            Fault::lasting("IMAGE_UNSUPPORTED", text)
        })?;
        choose(named, &manifest.layers, file)
    }

    async fn manifest(&self, reference: &Reference, digest: &str) -> Result<Vec<u8>, Fault> {
        let accept = format!("{OCI_IMAGE_MEDIA_TYPE}, {IMAGE_MANIFEST_MEDIA_TYPE}");
        let accept = HeaderValue::try_from(accept).ok();
        let headers = accept.map(|it| (ACCEPT, it)).into_iter().collect();
        let what = format!("manifests/{digest}");
        let answer = self.registries.get(reference, &what, &headers).await?;
        self.registries.body(reference, answer, MOST).await
    }
}

/// The layer with this title, or the only one.
fn choose(named: &Named, layers: &[OciDescriptor], file: Option<&str>) -> Result<Layer, Fault> {
    let title = |layer: &OciDescriptor| {
        let annotations = layer.annotations.as_ref()?;
        annotations.get(TITLE).cloned()
    };
    let found = match (file, layers) {
        (None, [layer]) => Some(layer),
        (None, _) => None,
        (Some(file), _) => layers.iter().find(|it| title(it).as_deref() == Some(file)),
    };
    let Some(layer) = found else {
        let titles: Vec<_> = layers.iter().filter_map(title).take(LISTED).collect();
        let text = format!(
            "{named} has {} layers, titled {}, and {}; name one of the titles in file",
            layers.len(),
            match titles.is_empty() {
                true => "not at all".to_owned(),
                false => titles.join(", "),
            },
            match file {
                Some(file) => format!("none is titled {file}"),
                None => "file does not say which".to_owned(),
            }
        );
        return Err(Fault::lasting("IMAGE_FILE_NOT_FOUND", text));
    };
    let (true, Ok(bytes)) = (is_sha256(&layer.digest), u64::try_from(layer.size)) else {
        let text = format!(
            "a layer of {named} has the digest {:?} and the size {}; only sha256 is known here",
            layer.digest, layer.size
        );
        return Err(Fault::lasting("IMAGE_UNSUPPORTED", text));
    };
    Ok(Layer {
        name: title(layer).unwrap_or_else(|| named.to_string()),
        digest: layer.digest.clone(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(title: Option<&str>, digit: char) -> OciDescriptor {
        OciDescriptor {
            digest: format!("sha256:{}", digit.to_string().repeat(64)),
            size: 7,
            annotations: title.map(|title| [(TITLE.to_owned(), title.to_owned())].into()),
            ..OciDescriptor::default()
        }
    }

    fn chosen(layers: &[OciDescriptor], file: Option<&str>) -> Result<String, String> {
        let named = Named::OnNode(format!("sha256:{}", "0".repeat(64)));
        let layer = choose(&named, layers, file);
        layer.map(|it| it.digest).map_err(|it| it.reason)
    }

    #[test]
    fn a_file_is_the_layer_of_its_title_or_the_only_one() {
        let [a, b] = [layer(Some("a"), '1'), layer(Some("b"), '2')];
        let digest = |layer: &OciDescriptor| Ok(layer.digest.clone());
        let none = Err("IMAGE_FILE_NOT_FOUND".to_owned());
        assert_eq!(chosen(&[a.clone(), b.clone()], Some("b")), digest(&b));
        assert_eq!(chosen(&[layer(None, '3')], None), digest(&layer(None, '3')));
        assert_eq!(chosen(&[a.clone(), b], None), none);
        assert_eq!(chosen(&[a], Some("c")), none);
        assert_eq!(chosen(&[], None), none);
    }

    #[test]
    fn a_digest_that_is_no_name_of_a_file_is_refused() {
        for digest in ["sha256:../../etc", "sha512:00", "sha256:", ""] {
            let wrong = OciDescriptor {
                digest: digest.to_owned(),
                ..layer(None, '0')
            };
            assert_eq!(chosen(&[wrong], None), Err("IMAGE_UNSUPPORTED".to_owned()));
        }
        let less = OciDescriptor {
            size: -1,
            ..layer(None, '0')
        };
        assert_eq!(chosen(&[less], None), Err("IMAGE_UNSUPPORTED".to_owned()));
    }
}
