//! The manifest: raw extents, vCPUs and settings, written by a person or a build. For every platform.
//!
//! TOML of at most 1 MiB. A key that is not listed here is an error. Numbers are TOML integers or texts, hex with `0x` or decimal; sizes may have K, M, G or T
//! for a power of 1024. Paths are relative to the manifest.
//!
//! | key | | what |
//! |---|---|---|
//! | `version` | required | `1` |
//! | `platform` | | `"sim"`, `"kvm"`, `"sev-snp"` or `"tdx"`; without it who plans has to name one |
//! | `memory` | required | the guest's memory: `["0x0+64M", …]` |
//! | `vcpu_count` | | 1 to 64; without it as many as have a state, or 1 |
//! | `vcpus` | | how vCPUs begin: `["0=long:0x100000:0x1000,rsi=0x7000", …]`, in the forms of [`vcpu`](crate::vcpu); one that is not named is reset |
//! | `expected_digest` | | 96 hex digits: what the plan must end in |
//! | `[[extent]]` | required | what is staged, in this order |
//! | `[[vcpu_registers]]` | | how a vCPU begins, register by register, instead of in `vcpus` |
//! | `[sev_snp]`, `[tdx]` | | settings; those of a platform that is not planned for are left aside, and who plans may give others, one by one |
//!
//! An **extent**:
//!
//! | key | | what |
//! |---|---|---|
//! | `gpa` | required | address of its first page |
//! | `type` | required | `"normal"`, `"zero"`, `"unmeasured"`, `"secrets"` or `"cpuid"` |
//! | `file` | | its contents: a regular file, which is read only when it is needed; 64 GiB of all files |
//! | `offset` | | where they begin in the file; 0 if not given |
//! | `length` | | with `file`: how many bytes, up to the file's end if not given. Alone: so many bytes of zeros, or for firmware to write |
//! | `hex` | | its contents, in place of `file` |
//! | `pad` | | `true`: a last page that is not full is filled up with zeros. Without it that is an error |
//! | `name` | | for people; the file's name if not given |
//!
//! NORMAL and UNMEASURED pages take `file`, `hex` or `length`; ZERO and SECRETS `length`; CPUID, one page, `file` or `hex`, or neither: then who plans gives the page,
//! or it has no leaves. All zeros that are given by `length` are at most 16 GiB together.
//!
//! **`[[vcpu_registers]]`**: `index`, and `rip`, `rsp`, `rflags`, `rax` to `r15`, `cr0`, `cr2`, `cr3`, `cr4`, `efer`, `pat`;
//! `cs`, `ds`, `es`, `fs`, `gs`, `ss`, `tr`, `ldtr` as `{ selector, attributes, limit, base }`; `gdtr`, `idtr` as `{ base, limit }`. A number that is not
//! given is 0, a segment, table or `pat` is as the architecture resets it (`VcpuRegisters` in the API).
//!
//! **`[sev_snp]`**: `policy` (names or number, see [`sev_snp`](crate::sev_snp)), `vmsa_features`, `ghcb_version`, `gosvw` (32 hex digits); for the end of the launch
//! `id_block` and `id_auth` (files of 96 and 4096 bytes, both or none), `author_key`, `host_data` (64 hex digits), `vcek_disabled`.
//!
//! **`[tdx]`**: `attributes`, `xfam`, `mrconfigid`, `mrowner`, `mrownerconfig` (96 hex digits each), `cpuid`: `["FUNCTION[.INDEX]:EAX:EBX:ECX:EDX", …]`.
//!
//! Whether extents overlap, leave memory or are not aligned is told by the checks of every plan, all at once, and not here. `deploy/MANIFEST.md` has an example.
//!
//! **Invariant:** opens nothing but regular files, and never reads the contents of an extent.

mod document;
mod extents;
mod files;
mod place;
mod registers;
mod settings;
mod values;
mod vcpus;

use std::path::Path;

use super::{ImageError, Input, Options, unused};
use crate::{plan::Plan, v1::Platform};

use document::Document;
use files::Files;
use place::Text;
use values::Wanted;

/// The largest manifest. Fewer than 65,536 extents fit.
const LARGEST: usize = 1 << 20;
/// The one version that there is.
const VERSION: u64 = 1;

/// Whether it is called as TOML files are, or its first line that is no comment is about a version.
#[must_use]
pub fn recognises(name: &str, bytes: &[u8]) -> bool {
    let by_name = Path::new(name)
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("toml"));
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    by_name
        || first
            .and_then(|line| line.strip_prefix(b"version"))
            .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
}

/// The plan of a manifest whose files are found from `base` on: the directory in which it is.
///
/// # Errors
/// It is no manifest, or names what is not there, or says what cannot be.
pub fn load(input: &Input, base: &Path, options: &Options) -> Result<Plan, ImageError> {
    let plan = plan(input, base, options).map_err(|error| error.of(&input.name))?;
    Ok(unused::told(plan, options))
}

fn plan(input: &Input, base: &Path, options: &Options) -> Result<Plan, ImageError> {
    foreign(options)?;
    let text = Text::new(&input.bytes, LARGEST)?;
    let document = Document::parse(text)?;
    if document.version.get_ref().0.0 != VERSION {
        let problem = format!("this is version {VERSION}'s reader; give version = {VERSION}");
        return Err(text.at(&document.version, "version", &problem));
    }
    let platform = platform(text, &document, options)?;
    let mut files = Files::new(text, base);
    let (extents, mut findings) = extents::extents(&mut files, &document.extents, options)?;
    let finish = settings::finish(&mut files, document.sev_snp.as_ref())?;
    let on_snp = platform == Platform::SevSnp;
    let sev_snp = on_snp.then(|| {
        let image = settings::sev_snp(document.sev_snp.as_ref());
        options.sev_snp.over(&image, &mut findings)
    });
    let tdx = (platform == Platform::Tdx).then(|| {
        let image = settings::tdx(document.tdx.as_ref());
        options.tdx.over(&image, &mut findings)
    });
    Ok(Plan {
        platform,
        format: "manifest".to_owned(),
        memory: match options.memory.is_empty() {
            true => document.memory.iter().map(|it| it.0).collect(),
            false => options.memory.clone(),
        },
        extents,
        vcpus: vcpus::vcpus(text, &document, platform, options)?,
        sev_snp: sev_snp.and_then(|it| it.settings()),
        tdx: tdx.and_then(|it| it.settings()),
        finish: finish.filter(|_| on_snp),
        expected_digest: document.expected_digest.map(|it| it.0.0),
        findings,
    })
}

/// What only other images can be planned with.
fn foreign(options: &Options) -> Result<(), ImageError> {
    let given = [
        ("kernel", options.kernel.is_some()),
        ("initrd", options.initrd.is_some()),
        ("command line", options.append.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((what, _)) => Err(ImageError::whole(
            *what,
            "a manifest says itself what is staged; write it into an extent",
        )),
    }
}

fn platform(
    text: Text<'_>,
    document: &Document,
    options: &Options,
) -> Result<Platform, ImageError> {
    let wanted = options.platform.filter(|it| *it != Platform::Unspecified);
    match (&document.platform, wanted) {
        (None, None) => Err(ImageError::whole(
            "manifest",
            "it names no platform; add platform = \"sev-snp\", or name one when planning: sim, kvm, sev-snp or tdx",
        )),
        (None, Some(wanted)) => Ok(wanted),
        (Some(named), wanted) => {
            let platform = Platform::from(*named.get_ref());
            if wanted.is_none_or(|wanted| wanted == platform) {
                return Ok(platform);
            }
            let problem = "another platform is asked for; ask for this one, or leave the key out of a manifest that is for several";
            Err(text.at(named, "platform", problem))
        }
    }
}

/// A value that is spelled as people type it.
type Typed<T> = Wanted<T, false>;
/// The same, or a TOML integer.
type Numeric<T> = Wanted<T, true>;

#[cfg(test)]
mod tests;
