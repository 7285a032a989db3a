//! qemu's storage daemon: shows a file as another one, by FUSE, and logs what is written to it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A daemon at work; ends with this.
pub(super) struct Daemon {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
}

/// Room for the log; the file stays sparse.
const LOG_BYTES: u64 = 4 << 30;

/// The shortest file that can be shown.
pub(super) const FIRST_LENGTH: u64 = 4096;

impl Daemon {
    /// Begins to show `folder/data` as `folder/store.by`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        File::create(folder.join("data"))?.set_len(FIRST_LENGTH)?;
        File::create(folder.join("log"))?.set_len(LOG_BYTES)?;
        File::create(folder.join("store.by"))?;
        let mut child = Command::new("qemu-storage-daemon")
            .current_dir(folder)
            .args(["--blockdev", "driver=file,node-name=data,filename=data"])
            .args(["--blockdev", "driver=file,node-name=log,filename=log"])
            .args(["--blockdev", "driver=blklogwrites,node-name=logged,file=data,log=log"])
            .arg("--export")
            .arg("type=fuse,id=store,node-name=logged,mountpoint=store.by,writable=on,growable=on,allow-other=off")
            .args(["--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start qemu-storage-daemon")?;
        let input = child.stdin.take().context("the daemon has no input")?;
        let output = BufReader::new(child.stdout.take().context("the daemon has no output")?);
        let mut daemon = Self { child, input, output, folder: folder.to_owned() };
        // It greets when everything on its command line is done.
        daemon.hear("QMP")?;
        daemon.say("qmp_capabilities")?;
        daemon.hear("return")?;
        Ok(daemon)
    }

    /// The file as it is shown.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("store.by")
    }

    /// Ends the daemon and hands out its log.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.say("quit")?;
        let status = self.child.wait().context("cannot wait for the daemon")?;
        ensure!(status.success(), "the daemon ended with {status}");
        // Only the beginning of the file was ever written.
        let length =
            std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(self.folder.join("log"))?) * 512;
        let mut log = Vec::new();
        let file = File::open(self.folder.join("log"))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, length + (1 << 20)), &mut log)?;
        Ok(log)
    }

    fn say(&mut self, command: &str) -> Result<()> {
        let said = writeln!(self.input, "{{\"execute\": \"{command}\"}}").and_then(|()| self.input.flush());
        said.context("the daemon does not listen")
    }

    fn hear(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            let length = self.output.read_line(&mut line).context("cannot hear the daemon")?;
            ensure!(length > 0, "the daemon ended before it said {word:?}");
        }
        Ok(())
    }
}

impl Drop for Daemon {
    /// After `finish` there is nothing left to kill. A daemon that is killed leaves its mount behind.
    fn drop(&mut self) {
        let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = Command::new("umount").arg("-l").arg(self.file()).status();
        }
    }
}
