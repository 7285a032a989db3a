//! What the figures were measured on.

use std::path::Path;

use crate::results::Machine;

/// This machine, and the file system of a folder.
pub(crate) fn describe(folder: &Path) -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let processor = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let release = read("/proc/sys/kernel/osrelease");
    Machine {
        processor: processor.map_or("an unknown processor", |(_, name)| name.trim()).to_owned(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: format!("Linux {}", release.trim()),
        file_system: file_system(folder, &read("/proc/mounts")),
        load: read("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|first| first.parse().ok())
            .unwrap_or(f64::NAN),
    }
}

/// The type of the mount with the longest path above the folder.
fn file_system(folder: &Path, mounts: &str) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        folder.starts_with(point).then_some((point.len(), kind))
    });
    above.max_by_key(|(length, _)| *length).map_or("an unknown file system", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /nowhere tmpfs rw 0 0\n/dev/b /nowhere/else xfs rw 0 0\n";
        assert_eq!(file_system(Path::new("/nowhere/else/here"), mounts), "xfs");
        assert_eq!(file_system(Path::new("/somewhere"), mounts), "ext4");
        assert!(describe(Path::new("/")).threads >= 1);
    }
}
