//! What a call of the kernel answers.
//!
//! **Invariant:** an errno is positive here, as in C.

use std::fmt;

/// An error number, as in `errno`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// A call's answer: what it returns, or why not.
pub type Answer<T = i32> = Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident)+) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $name: Self = Self(libc::$name);
            )+

            /// The constant's name, where the model uses it.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$name => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    E2BIG EACCES EAGAIN EBADF EBUSY EEXIST EFAULT EHWPOISON EINTR EINVAL EIO EMFILE ENODEV ENOENT ENOMEM ENOSPC ENOTTY ENXIO
    EOPNOTSUPP EPERM
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}
