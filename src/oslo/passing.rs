//! What may be otherwise a moment later, with the same configuration: at a boot others come up after us.

use std::io;

use rustix::io::Errno;

/// Whether it is a mount, a file server or an address that is not there yet.
pub fn is_passing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        // FUSE without its server is not connected, and NFS is stale or a faulty device.
        Some(Errno::NOENT | Errno::NOTCONN | Errno::STALE | Errno::IO | Errno::ADDRNOTAVAIL)
    )
}
