//! The device nodes: there, of the right kind, and open to this process.
//!
//! **Invariant:** /dev/kvm is opened once for all platforms; /dev/sev is opened and closed again, and no command is given to it.

use std::{fs::File, os::unix::fs::FileTypeExt as _, path::Path};

use stagepages_kvm::{Kvm, errno_name};

use super::Check;

/// The API that every kernel of the last two decades speaks (`KVM_API_VERSION`, include/uapi/linux/kvm.h).
const KVM_API_VERSION: u32 = 12;

/// A device node, in the words of its remedies.
#[derive(Debug, Clone, Copy)]
struct Node {
    path: &'static str,
    /// How it comes about.
    driver: &'static str,
}

const KVM: Node = Node {
    path: "/dev/kvm",
    driver: "load kvm_amd or kvm_intel, with virtualisation (SVM or VT-x) enabled in firmware setup",
};

const SEV: Node = Node {
    path: "/dev/sev",
    driver: "load ccp, with SEV-SNP enabled in firmware setup",
};

/// /dev/kvm, and how opening it went.
#[derive(Debug)]
pub(super) struct DevKvm {
    /// How it went.
    pub(super) check: Check,
    /// The device, if it is KVM.
    pub(super) kvm: Option<Kvm>,
}

impl DevKvm {
    /// Opens it.
    pub(super) fn open() -> Self {
        let opened = Kvm::open().and_then(|kvm| Ok((kvm.api_version()?, kvm)));
        match opened {
            Ok((KVM_API_VERSION, kvm)) => Self {
                check: Check::there(KVM.path, format!("opened, API version {KVM_API_VERSION}")),
                kvm: Some(kvm),
            },
            Ok((version, _)) => {
                Self::missing(&format!("API version {version}, which is not KVM's"))
            }
            Err(error) => Self {
                check: refused(KVM, &error.to_string(), error.errno()),
                kvm: None,
            },
        }
    }

    fn missing(found: &str) -> Self {
        Self {
            check: Check::missing(KVM.path, found, KVM.driver),
            kvm: None,
        }
    }
}

/// Whether /dev/sev can be opened as a launch opens it.
pub(super) fn sev() -> Check {
    node(SEV, Path::new(SEV.path))
}

fn node(node: Node, path: &Path) -> Check {
    let opened = File::options()
        .read(true)
        .write(true)
        .open(path)
        .and_then(|file| file.metadata());
    match opened {
        Ok(meta) if meta.file_type().is_char_device() => Check::there(node.path, "opened"),
        Ok(_) => {
            let remedy = format!("remove what is there, then {}", node.driver);
            Check::missing(node.path, "not a character device", remedy)
        }
        Err(error) => refused(node, &error.to_string(), error.raw_os_error()),
    }
}

fn refused(node: Node, found: &str, errno: Option<i32>) -> Check {
    Check::missing(node.path, found, way_out(node, errno))
}

/// What an operator can do about a node that cannot be opened.
fn way_out(node: Node, errno: Option<i32>) -> String {
    let Node { path, driver } = node;
    match errno.map_or("", errno_name) {
        "ENOENT" => format!("{driver}; hand {path} to the daemon's container, if it has one"),
        "ENODEV" | "ENXIO" => format!("the node is there and its driver is not: {driver}"),
        "EACCES" => format!(
            "let the daemon's user read and write {path}, by its group or an ACL; Landlock and the like refuse with the same errno"
        ),
        "EPERM" => format!(
            "allow {path} in the device cgroup (systemd: DeviceAllow={path} rw; containers: --device {path})"
        ),
        "EBUSY" => {
            format!("end the program that has {path} for itself, such as another hypervisor")
        }
        "EMFILE" | "ENFILE" => "raise the limit on open files (systemd: LimitNOFILE)".to_owned(),
        // The node is not the device that its name promises.
        "ENOTTY" | "EISDIR" => format!("remove what is at {path}, then {driver}"),
        _ => format!("see the kernel's log; then {driver}"),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn every_refusal_has_a_way_out_of_its_own() {
        let errnos = [
            (Errno::ENOENT, "load kvm_amd or kvm_intel"),
            (Errno::ENODEV, "its driver is not"),
            (Errno::ENXIO, "its driver is not"),
            (Errno::EACCES, "let the daemon's user"),
            (Errno::EPERM, "device cgroup"),
            (Errno::EBUSY, "another hypervisor"),
            (Errno::EMFILE, "open files"),
            (Errno::ENOTTY, "remove what is at /dev/kvm"),
            (Errno::EIO, "kernel's log"),
        ];
        for (errno, words) in errnos {
            let remedy = way_out(KVM, Some(errno as i32));
            assert!(remedy.contains(words), "{errno}: {remedy}");
        }
        assert!(way_out(SEV, Some(Errno::ENOENT as i32)).starts_with("load ccp"));
        assert!(way_out(SEV, None).contains("kernel's log"));
    }

    #[test]
    fn a_node_is_told_from_a_file_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let absent = node(SEV, &dir.path().join("sev"));
        assert_eq!((absent.ok, absent.subject.as_str()), (false, "/dev/sev"));
        assert!(absent.remedy.contains("load ccp"), "{absent:?}");
        let path = dir.path().join("file");
        File::create(&path).unwrap();
        let file = node(SEV, &path);
        assert_eq!(file.found, "not a character device");
        assert!(file.remedy.starts_with("remove"), "{file:?}");
        let null = node(SEV, Path::new("/dev/null"));
        assert_eq!((null.ok, null.remedy.as_str()), (true, ""));
    }
}
