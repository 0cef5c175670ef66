//! Settings of tdx.

use bytes::Bytes;

use super::{OVERRIDDEN, choose, hex, number};
use crate::{plan::Finding, tdx::CpuidLeaf, v1};

/// Settings of tdx, as `TdxSettings` in the API has them; `None` for one that is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TdxOptions {
    /// TD attributes.
    pub attributes: Option<u64>,
    /// Extended features that the guest may use.
    pub xfam: Option<u64>,
    /// Id of the guest's configuration, 48 bytes.
    pub mrconfigid: Option<Bytes>,
    /// Id of the guest's owner, 48 bytes.
    pub mrowner: Option<Bytes>,
    /// Id of the owner's configuration, 48 bytes.
    pub mrownerconfig: Option<Bytes>,
    /// All CPUID leaves, which are one setting: a daemon judges them together. Empty if none is given.
    pub cpuid: Vec<CpuidLeaf>,
}

impl TdxOptions {
    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What CreateLaunch is given; `None` if no setting is.
    #[must_use]
    pub fn settings(&self) -> Option<v1::TdxSettings> {
        let id = |id: &Option<Bytes>| id.clone().unwrap_or_default();
        (!self.is_empty()).then(|| v1::TdxSettings {
            attributes: self.attributes,
            xfam: self.xfam,
            mrconfigid: id(&self.mrconfigid),
            mrowner: id(&self.mrowner),
            mrownerconfig: id(&self.mrownerconfig),
            cpuid: self.cpuid.iter().copied().map(Into::into).collect(),
        })
    }

    /// These, and what the image says where these say nothing.
    pub(in crate::image) fn over(&self, image: &Self, findings: &mut Vec<Finding>) -> Self {
        let mut numbers =
            |name, asked, image| choose((OVERRIDDEN, name), [asked, image], number, findings);
        let attributes = numbers("set of attributes", &self.attributes, &image.attributes);
        let xfam = numbers("XFAM", &self.xfam, &image.xfam);
        let mut id = |name, asked, image| choose((OVERRIDDEN, name), [asked, image], hex, findings);
        let mrconfigid = id("MRCONFIGID", &self.mrconfigid, &image.mrconfigid);
        let mrowner = id("MROWNER", &self.mrowner, &image.mrowner);
        let mrownerconfig = id("MROWNERCONFIG", &self.mrownerconfig, &image.mrownerconfig);
        let leaves = [self, image].map(|it| Some(it.cpuid.clone()).filter(|all| !all.is_empty()));
        let cpuid = choose(
            (OVERRIDDEN, "list of CPUID leaves"),
            leaves.each_ref(),
            |leaves| list(leaves),
            findings,
        );
        Self {
            attributes,
            xfam,
            mrconfigid,
            mrowner,
            mrownerconfig,
            cpuid: cpuid.unwrap_or_default(),
        }
    }
}

fn list(leaves: &[CpuidLeaf]) -> String {
    let leaves: Vec<_> = leaves.iter().map(CpuidLeaf::to_string).collect();
    leaves.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(attributes: u64, xfam: u64, id: u8, leaf: &str) -> TdxOptions {
        TdxOptions {
            attributes: Some(attributes),
            xfam: Some(xfam),
            mrconfigid: Some(vec![id; 48].into()),
            mrowner: Some(vec![id + 1; 48].into()),
            mrownerconfig: Some(vec![id + 2; 48].into()),
            cpuid: vec![leaf.parse().unwrap()],
        }
    }

    fn image() -> TdxOptions {
        options(1 << 28, 7, 1, "0x80000008:0x300000:0:0:0")
    }

    #[test]
    fn each_is_replaced_alone_and_told() {
        type Take = fn(&mut TdxOptions, TdxOptions);
        let takes: [(Take, [&str; 2]); 6] = [
            (
                |it, of| it.attributes = of.attributes,
                ["0x10000000", "0x0"],
            ),
            (|it, of| it.xfam = of.xfam, ["0x7", "0x3"]),
            (|it, of| it.mrconfigid = of.mrconfigid, ["0101", "0404"]),
            (|it, of| it.mrowner = of.mrowner, ["0202", "0505"]),
            (
                |it, of| it.mrownerconfig = of.mrownerconfig,
                ["0303", "0606"],
            ),
            (|it, of| it.cpuid = of.cpuid, ["0x300000", "0x340000"]),
        ];
        for (take, told) in takes {
            let other = || options(0, 3, 4, "0x80000008:0x340000:0:0:0");
            let (mut asked, mut expected) = (TdxOptions::default(), image());
            take(&mut asked, other());
            take(&mut expected, other());
            let mut findings = Vec::new();
            assert_eq!(asked.over(&image(), &mut findings), expected);
            let [finding] = &findings[..] else {
                panic!("{findings:?}");
            };
            assert!(told.iter().all(|it| finding.message.contains(it)));
        }
    }

    #[test]
    fn what_is_the_same_or_said_once_is_not_told() {
        let mut findings = Vec::new();
        let nothing = TdxOptions::default();
        assert_eq!(image().over(&image(), &mut findings), image());
        assert_eq!(nothing.over(&image(), &mut findings), image());
        assert_eq!(image().over(&nothing, &mut findings), image());
        assert_eq!(findings, []);
    }

    #[test]
    fn zero_is_something_and_nothing_is_not_sent() {
        assert_eq!(TdxOptions::default().settings(), None);
        let zero = TdxOptions {
            attributes: Some(0),
            ..TdxOptions::default()
        };
        assert_eq!(zero.settings().unwrap().attributes, Some(0));
    }
}
