//! What a run came to; its last line is `N passed, N failed`.

use std::process::ExitCode;

/// Counts checks and tells each failure at once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Counts a check; a failure is told with how to repeat it.
    pub(crate) fn record<T>(
        &mut self,
        what: &str,
        result: anyhow::Result<T>,
        again: impl Fn() -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.passed += 1;
                Some(value)
            }
            Err(error) => {
                self.failed += 1;
                println!("{what}: FAILED: {error:#}\n    again: {}", again());
                None
            }
        }
    }

    /// Prints the closing line; a failure if any check failed or there was none.
    pub(crate) fn finish(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_fails_the_run_and_so_does_no_check_at_all() {
        let code = |tally: Tally| format!("{:?}", tally.finish());
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_ne!(code(Tally::default()), success);
        let mut tally = Tally::default();
        tally.record("good", Ok(()), String::new);
        tally.record("bad", Err::<(), _>(anyhow::anyhow!("reason")), String::new);
        assert_ne!(code(tally), success);
        let mut tally = Tally::default();
        assert_eq!(tally.record("good", Ok(5), String::new), Some(5));
        assert_eq!(code(tally), success);
    }
}
