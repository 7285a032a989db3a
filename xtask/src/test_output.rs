//! What `cargo test` says: how many tests passed, which failed, whether they were built at all. The simulator
//! says as much of its seeds, and closes as our steps do.

/// The sum over all test binaries that ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestOutput {
    pub(crate) passed: usize,
    /// Names of the tests that failed.
    pub(crate) failed: Vec<String>,
    /// The compiler refused the code.
    pub(crate) compile_error: bool,
    /// A test binary died without telling which tests failed: a stack overflow, an abort.
    pub(crate) died: bool,
}

impl TestOutput {
    pub(crate) fn parse(output: &str) -> Self {
        let mut parsed = Self::default();
        for line in output.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                parsed.passed += passed(result).unwrap_or_default();
            } else if let Some(name) = failed_test(line) {
                parsed.failed.push(name.to_owned());
            } else if let Some((passed, _)) =
                line.strip_suffix(" failed").and_then(|it| it.split_once(" passed, "))
            {
                parsed.passed += passed.parse().unwrap_or(0);
            }
            parsed.compile_error |= line.starts_with("error: could not compile");
            parsed.died |= line.contains("(signal: ");
        }
        parsed
    }
}

/// `ok. 41 passed; 0 failed; …`
fn passed(result: &str) -> Option<usize> {
    let (before, _) = result.split_once(" passed;")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// `test it::of_this_name ... FAILED`, or `campaign, seed 7: FAILED: why`
fn failed_test(line: &str) -> Option<&str> {
    let test = line.strip_prefix("test ").and_then(|it| it.strip_suffix(" ... FAILED"));
    let seed = || line.split_once(": FAILED: ").map(|(seed, _)| seed).filter(|seed| seed.contains(", seed "));
    test.or_else(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_added_up() {
        let output = "test a::one ... ok\ntest a::two ... FAILED\n\
                      test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
                      test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let failed = vec!["a::two".to_owned()];
        assert_eq!(TestOutput::parse(output), TestOutput { passed: 42, failed, ..TestOutput::default() });
    }

    #[test]
    fn the_simulator_is_understood() {
        let output = "2 seeds from 0, 1 campaigns, 2 threads\ncuts, seed 3: FAILED: lost: everything\n\
                      3 passed, 1 failed\nError: 1 checks failed\n";
        let failed = vec!["cuts, seed 3".to_owned()];
        assert_eq!(TestOutput::parse(output), TestOutput { passed: 3, failed, ..TestOutput::default() });
    }

    #[test]
    fn a_compile_error_is_no_failed_test() {
        let output = "error[E0308]: mismatched types\nerror: could not compile `blockyard-core` (lib)\n";
        assert_eq!(TestOutput::parse(output), TestOutput { compile_error: true, ..TestOutput::default() });
    }

    #[test]
    fn a_binary_may_die() {
        let output =
            "error: test failed\nCaused by:\n  process didn't exit successfully: `it` (signal: 6, SIGABRT)\n";
        assert!(TestOutput::parse(output).died);
    }
}
