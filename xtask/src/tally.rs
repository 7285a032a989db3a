//! What a step with many checks of its own came to; its last line is `N passed, N failed`.

use anyhow::{Result, bail};

/// Counts checks and remembers which failed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    /// The check and what it said.
    failures: Vec<(String, String)>,
}

impl Tally {
    /// Counts one check and tells a failure at once.
    pub(crate) fn record(&mut self, check: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("{check}: passed");
                self.passed += 1;
            }
            Err(error) => {
                let reason = format!("{error:#}");
                println!("{check}: FAILED: {reason}");
                self.failures.push((check.to_owned(), reason));
            }
        }
    }

    /// Prints the closing line; an error if any check failed or there was none. The error's first line names
    /// what failed, the others say why once more: of a long log the end is what one sees.
    pub(crate) fn finish(self) -> Result<()> {
        println!("{} passed, {} failed", self.passed, self.failures.len());
        if !self.failures.is_empty() {
            let names: Vec<&str> = self.failures.iter().map(|(check, _)| check.as_str()).collect();
            let reasons = self.failures.iter().map(|(check, reason)| format!("\n{check}: {reason}"));
            bail!("failed: {}{}", names.join(", "), reasons.collect::<String>());
        }
        if self.passed == 0 {
            bail!("nothing was checked");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_step_and_so_does_no_check_at_all() {
        assert!(Tally::default().finish().is_err());
        let mut tally = Tally::default();
        tally.record("good", Ok(()));
        tally.record("bad", Err(anyhow::anyhow!("reason")));
        assert_eq!(tally.finish().expect_err("one failed").to_string(), "failed: bad\nbad: reason");
        let mut tally = Tally::default();
        tally.record("good", Ok(()));
        assert!(tally.finish().is_ok());
    }
}
