//! From an artifact to a plan: pulled, parsed, judged, and its digest computed.
//!
//! **Invariant:** a plan with errors, or one that ends in another digest than is wanted, is never given out; a manifest of stagepages, which names files of the
//! machine that reads it, is never parsed.

use std::io;

use bytes::Bytes;
use stagepages_client::{
    hex,
    image::{Image, ImageError, Input, Options},
    plan::Plan,
};

use super::{
    memory::Held,
    options::{Files, options},
};
use crate::{
    blocking::blocking,
    fault::Fault,
    registry::{Pulled, Puller, Purpose},
    resources::{Artifact, Platform, Settings},
};

/// The bytes of a CPUID page.
const PAGE: u64 = 4096;

/// An image, and what plans are made of it with.
pub(crate) struct Opened {
    pub(crate) image: Image,
    pub(crate) options: Options,
    /// What to call the image.
    pub(crate) name: String,
    /// Of all files.
    pub(crate) bytes: u64,
    /// The room that they take.
    held: Held,
}

/// A plan that can be staged.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) digest: Option<[u8; 48]>,
    /// What is worth saying, if anything is.
    pub(crate) warnings: Vec<String>,
    /// The room that its contents take.
    held: Option<Held>,
}

/// Every file that is named, on this node.
pub(crate) struct Fetched {
    image: Pulled,
    kernel: Option<Pulled>,
    initrd: Option<Pulled>,
    cpuid_page: Option<Pulled>,
}

impl Fetched {
    fn all(&self) -> impl Iterator<Item = &Pulled> {
        let parts = [&self.kernel, &self.initrd, &self.cpuid_page];
        parts.into_iter().flatten().chain([&self.image])
    }

    /// Of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.all().map(|it| it.bytes).sum()
    }
}

/// Pulls every file that is named.
pub(crate) async fn fetch(
    puller: &Puller,
    image: &Artifact,
    settings: &Settings,
    purpose: Purpose<'_>,
) -> Result<Fetched, Fault> {
    let one = async |artifact: &Option<Artifact>| match artifact {
        Some(artifact) => puller.pull(artifact, purpose).await.map(Some),
        None => Ok(None),
    };
    Ok(Fetched {
        image: puller.pull(image, purpose).await?,
        kernel: one(&settings.kernel).await?,
        initrd: one(&settings.initrd).await?,
        cpuid_page: one(&settings.cpuid_page).await?,
    })
}

/// Told by the name that the artifact has for it; where the cache keeps it is nobody's business.
fn unplannable(error: ImageError, name: &str) -> Fault {
    let error = ImageError {
        image: name.to_owned(),
        ..error
    };
    Fault::lasting("IMAGE_INVALID", error.to_string())
}

fn read(pulled: Option<&Pulled>) -> Result<Option<Input>, Fault> {
    let read = pulled.map(|it| {
        let input = Input::read(&it.path).map_err(|error| unplannable(error, &it.name))?;
        let name = it.name.clone();
        Ok(Input { name, ..input })
    });
    read.transpose()
}

/// Reads them into the room that is held for them.
pub(crate) async fn open(
    fetched: Fetched,
    platform: Platform,
    settings: Settings,
    held: Held,
) -> Result<Opened, Fault> {
    apart(move || {
        let opened = read_all(&fetched, platform, &settings, held);
        // A file that another took the place of says nothing of the image.
        match fetched.all().find(|it| !it.path.exists()) {
            Some(gone) if opened.is_err() => Err(Fault::passing(
                "IMAGE_UNREADABLE",
                format!("{} was removed from the cache of this node to make room for another image; it is pulled again. If that happens often, raise --cache-bytes of the node agent", gone.name),
            )),
            Some(_) | None => opened,
        }
    })
    .await
}

fn read_all(
    fetched: &Fetched,
    platform: Platform,
    settings: &Settings,
    held: Held,
) -> Result<Opened, Fault> {
    let image = Image::open(&fetched.image.path, settings.format.map(Into::into))
        .map_err(|error| unplannable(error, &fetched.image.name))?;
    if image.format() == stagepages_client::image::Format::Manifest {
        let text = "the image is a manifest of stagepages, which names files of the machine that reads it; make an image of it that has its contents, for example IGVM";
        return Err(Fault::lasting("IMAGE_INVALID", text));
    }
    let page = fetched.cpuid_page.as_ref();
    if page.is_some_and(|it| it.bytes > PAGE) {
        let text = "spec.settings.cpuidPage: it has more than the 4096 bytes of a page";
        return Err(Fault::lasting("IMAGE_INVALID", text));
    }
    let files = Files {
        kernel: read(fetched.kernel.as_ref())?,
        initrd: read(fetched.initrd.as_ref())?,
        cpuid_page: read(page)?.map(|it| it.bytes),
    };
    Ok(Opened {
        image,
        options: options(platform, settings, files)?,
        name: fetched.image.name.clone(),
        bytes: fetched.bytes(),
        held,
    })
}

/// Makes the plan, and judges it.
pub(crate) async fn plan(opened: Opened, expected: Option<[u8; 48]>) -> Result<Prepared, Fault> {
    apart(move || {
        let mut prepared = judged(&opened, &opened.options, expected)?;
        prepared.held = Some(opened.held);
        Ok(prepared)
    })
    .await
}

/// The plan, if nothing is wrong with it.
pub(crate) fn judged(
    opened: &Opened,
    options: &Options,
    expected: Option<[u8; 48]>,
) -> Result<Prepared, Fault> {
    let plan = { opened.image.plan(options) }.map_err(|error| unplannable(error, &opened.name))?;
    let judgement = plan.judge();
    let errors: Vec<_> = judgement
        .errors()
        .take(4)
        .map(ToString::to_string)
        .collect();
    if !errors.is_empty() {
        let text = format!(
            "the plan would be refused: {}; `stagectl plan` says all of it",
            errors.join("; ")
        );
        return Err(Fault::lasting("PLAN_REFUSED", text));
    }
    // What was asked for and has no effect is refused: no field is silently ignored.
    let ignored = { judgement.findings.iter() }
        .find(|it| it.code.ends_with("_UNUSED"))
        .map(ToString::to_string);
    if let Some(ignored) = ignored {
        return Err(Fault::lasting("SETTING_UNUSED", ignored));
    }
    let digest = plan.digest().map_err(|error| {
        Fault::lasting(
            "PLAN_REFUSED",
            format!("the digest cannot be computed: {error}"),
        )
    })?;
    if let Some(expected) = expected
        && digest != Some(expected)
    {
        let text = format!(
            "the plan ends in {}, and expectedLaunchDigest is {}; nothing was staged. `stagectl plan` shows what the digest is made of",
            digest.map_or_else(|| "no launch digest".to_owned(), |it| hex::digits(&it)),
            hex::digits(&expected)
        );
        return Err(Fault::lasting("DIGEST_MISMATCH", text));
    }
    let warnings = { judgement.findings.iter() }
        .filter(|it| it.severity == stagepages_client::plan::Severity::Warning)
        .take(4)
        .map(ToString::to_string)
        .collect();
    Ok(Prepared {
        plan,
        digest,
        warnings,
        held: None,
    })
}

/// Does it where it holds nobody up.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = blocking(move || Ok::<_, io::Error>(work())).await;
    done.unwrap_or_else(|error| {
        let text = format!("reading the image failed: {error}; this is a defect of the node agent, please report it");
        Err(Fault::lasting("IMAGE_INVALID", text))
    })
}

impl Prepared {
    /// What FinishLaunch must find.
    pub(crate) fn expected(&self) -> Bytes {
        self.digest
            .map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it))
    }
}
