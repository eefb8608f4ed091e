//! Token masks from llguidance: a vocabulary once per checkpoint, a matcher per generation.

use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use crate::abi::{bytes, guard, quiet_panics, utf8, Code, Failure, Outcome};

/// Mirrors quern_grammar_limits; a 0 keeps llguidance's own default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GrammarLimits {
    max_items_in_row: usize,
    initial_lexer_fuel: u64,
    step_lexer_fuel: u64,
    step_max_items: usize,
    max_lexer_states: usize,
    max_grammar_size: usize,
}

pub struct Vocabulary {
    factory: ParserFactory,
}

pub struct TokenMatcher {
    matcher: Matcher,
}

/// llguidance has one error type; which of its errors are limits shows in their words only.
fn failure(error: impl std::fmt::Display) -> Failure {
    let text = error.to_string();
    let is_limit = ["fuel", "too large", "too many", "too complex", "limit"].iter().any(|word| text.contains(word));
    Failure::new(if is_limit { Code::Limit } else { Code::Invalid }, text)
}

fn apply<T: PartialEq + Default>(limit: &mut T, value: T) {
    if value != T::default() {
        *limit = value;
    }
}

impl GrammarLimits {
    fn write_to(&self, limits: &mut ParserLimits) {
        apply(&mut limits.max_items_in_row, self.max_items_in_row);
        apply(&mut limits.initial_lexer_fuel, self.initial_lexer_fuel);
        apply(&mut limits.step_lexer_fuel, self.step_lexer_fuel);
        apply(&mut limits.step_max_items, self.step_max_items);
        apply(&mut limits.max_lexer_states, self.max_lexer_states);
        apply(&mut limits.max_grammar_size, self.max_grammar_size);
        limits.verbose_errors = false;
    }
}

impl Vocabulary {
    fn new(words: &[Vec<u8>], eos: u32, limits: GrammarLimits) -> Result<Vocabulary, Failure> {
        if words.is_empty() || eos as usize >= words.len() {
            return Err(failure(format!(
                "end token {eos} is outside a vocabulary of {}",
                words.len()
            )));
        }
        let info = TokRxInfo::new(words.len() as u32, eos);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, words)));
        let mut factory = ParserFactory::new_simple(&env).map_err(failure)?;
        factory.quiet();
        limits.write_to(factory.limits_mut());
        Ok(Vocabulary { factory })
    }

    fn matcher(&self, kind: &str, grammar: &str) -> Result<TokenMatcher, Failure> {
        let grammar = TopLevelGrammar::from_tagged_str(kind, grammar).map_err(failure)?;
        let matcher = Matcher::new(self.factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(failure(error)),
            None => Ok(TokenMatcher { matcher }),
        }
    }
}

/// # Safety
/// words holds the tokens' bytes back to back, ends[i] the end of token i in them; an empty token is never allowed.
#[no_mangle]
pub unsafe extern "C" fn quern_vocabulary_new(
    words: *const u8,
    ends: *const usize,
    n_tokens: usize,
    eos: u32,
    limits: *const GrammarLimits,
    out: *mut *mut Vocabulary,
) -> Outcome {
    quiet_panics();
    *out = std::ptr::null_mut();
    guard(|| {
        let ends = if n_tokens == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(ends, n_tokens)
        };
        if ends.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(failure("token ends decrease"));
        }
        let all = bytes(words, ends.last().copied().unwrap_or(0));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let words: Vec<Vec<u8>> = starts.zip(ends).map(|(start, &end)| all[start..end].to_vec()).collect();
        *out = Box::into_raw(Box::new(Vocabulary::new(&words, eos, *limits)?));
        Ok(String::new())
    })
}

/// # Safety
/// vocabulary came from quern_vocabulary_new and is not used again.
#[no_mangle]
pub unsafe extern "C" fn quern_vocabulary_free(vocabulary: *mut Vocabulary) {
    if !vocabulary.is_null() {
        drop(Box::from_raw(vocabulary));
    }
}

/// # Safety
/// kind and grammar point at their bytes.
#[no_mangle]
pub unsafe extern "C" fn quern_matcher_new(
    vocabulary: *const Vocabulary,
    kind: *const u8,
    kind_size: usize,
    grammar: *const u8,
    grammar_size: usize,
    out: *mut *mut TokenMatcher,
) -> Outcome {
    *out = std::ptr::null_mut();
    guard(|| {
        let kind = utf8(kind, kind_size, "grammar kind")?;
        let grammar = utf8(grammar, grammar_size, "grammar")?;
        *out = Box::into_raw(Box::new((*vocabulary).matcher(kind, grammar)?));
        Ok(String::new())
    })
}

/// # Safety
/// matcher came from quern_matcher_new or quern_matcher_clone and no other call on it runs.
#[no_mangle]
pub unsafe extern "C" fn quern_matcher_clone(matcher: *const TokenMatcher, out: *mut *mut TokenMatcher) -> Outcome {
    *out = std::ptr::null_mut();
    guard(|| {
        let matcher = (*matcher).matcher.deep_clone();
        *out = Box::into_raw(Box::new(TokenMatcher { matcher }));
        Ok(String::new())
    })
}

/// # Safety
/// matcher came from quern_matcher_new or quern_matcher_clone and is not used again.
#[no_mangle]
pub unsafe extern "C" fn quern_matcher_free(matcher: *mut TokenMatcher) {
    if !matcher.is_null() {
        drop(Box::from_raw(matcher));
    }
}

/// # Safety
/// mask points at n_words words; the bits of tokens past them must not be needed.
#[no_mangle]
pub unsafe extern "C" fn quern_matcher_mask(matcher: *mut TokenMatcher, mask: *mut u32, n_words: usize) -> Outcome {
    guard(|| {
        let allowed = (*matcher).matcher.compute_mask_or_eos().map_err(failure)?;
        let n_needed = allowed.len().div_ceil(32);
        if n_words < n_needed {
            return Err(failure(format!("the mask takes {n_needed} words, not {n_words}")));
        }
        let out = std::slice::from_raw_parts_mut(mask, n_words);
        out.fill(0);
        out[..n_needed].copy_from_slice(&allowed.as_slice()[..n_needed]);
        Ok(String::new())
    })
}

/// # Safety
/// matcher came from quern_matcher_new.
#[no_mangle]
pub unsafe extern "C" fn quern_matcher_consume(matcher: *mut TokenMatcher, token: u32) -> Outcome {
    guard(|| {
        (*matcher).matcher.consume_token(token).map_err(failure)?;
        Ok(String::new())
    })
}

/// # Safety
/// matcher came from quern_matcher_new; accepting points at one byte.
#[no_mangle]
pub unsafe extern "C" fn quern_matcher_accepting(matcher: *mut TokenMatcher, accepting: *mut u8) -> Outcome {
    guard(|| {
        *accepting = (*matcher).matcher.is_accepting().map_err(failure)? as u8;
        Ok(String::new())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: GrammarLimits = GrammarLimits {
        max_items_in_row: 0,
        initial_lexer_fuel: 0,
        step_lexer_fuel: 0,
        step_max_items: 0,
        max_lexer_states: 0,
        max_grammar_size: 0,
    };

    // One token per byte, and one that ends the text.
    fn byte_vocabulary(limits: GrammarLimits) -> Vocabulary {
        let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        words.push(b"\xff<|end|>".to_vec());
        Vocabulary::new(&words, 256, limits)
            .map_err(|failure| failure.message)
            .unwrap()
    }

    fn allowed(matcher: &mut TokenMatcher) -> Vec<u32> {
        matcher.matcher.compute_mask_or_eos().unwrap().to_list()
    }

    #[test]
    fn masks_follow_a_regex() {
        let vocabulary = byte_vocabulary(DEFAULTS);
        let mut matcher = vocabulary.matcher("regex", "ab[0-1]").map_err(|f| f.message).unwrap();
        assert_eq!(allowed(&mut matcher), vec![b'a' as u32]);
        matcher.matcher.consume_token(b'a' as u32).unwrap();
        matcher.matcher.consume_token(b'b' as u32).unwrap();
        assert_eq!(allowed(&mut matcher), vec![b'0' as u32, b'1' as u32]);
        assert!(!matcher.matcher.is_accepting().unwrap());
        matcher.matcher.consume_token(b'1' as u32).unwrap();
        assert_eq!(allowed(&mut matcher), vec![256]);
        assert!(matcher.matcher.is_accepting().unwrap());
    }

    #[test]
    fn schemas_lark_and_their_errors() {
        let vocabulary = byte_vocabulary(DEFAULTS);
        let mut matcher = vocabulary
            .matcher("json_schema", r#"{"type":"boolean"}"#)
            .map_err(|f| f.message)
            .unwrap();
        for byte in b"true" {
            matcher.matcher.consume_token(*byte as u32).unwrap();
        }
        assert!(matcher.matcher.is_accepting().unwrap());
        let mut matcher = vocabulary
            .matcher("lark", "start: \"x\" /[yz]/")
            .map_err(|f| f.message)
            .unwrap();
        matcher.matcher.consume_token(b'x' as u32).unwrap();
        assert_eq!(allowed(&mut matcher), vec![b'y' as u32, b'z' as u32]);
        assert!(vocabulary.matcher("lark", "start: (").is_err());
        assert!(vocabulary.matcher("json_schema", "{").is_err());
        assert!(vocabulary.matcher("prose", "x").is_err());
    }

    #[test]
    fn limits_are_obeyed() {
        let limits = GrammarLimits {
            max_grammar_size: 10,
            ..DEFAULTS
        };
        let schema =
            r#"{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"array"},"c":{}}}}}"#;
        assert!(byte_vocabulary(limits).matcher("json_schema", schema).is_err());
        assert!(byte_vocabulary(DEFAULTS).matcher("json_schema", schema).is_ok());
    }
}
