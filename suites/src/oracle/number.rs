//! Numbers written as text, as `as_number` reads them: blanks around, a sign on either side, thousands commas
//! anywhere in the whole part, parentheses for negatives, the currency sign, an exponent, and the word infinity.

/// The number a text stands for; NaN for the word `NaN`.
pub(super) fn written(text: &str) -> Option<f64> {
    let text = text.trim_end_matches('\0');
    plain(text).or_else(|| word(text))
}

fn word(text: &str) -> Option<f64> {
    match text.trim_matches(blank).to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => Some(f64::INFINITY),
        "-infinity" => Some(f64::NEG_INFINITY),
        "nan" | "+nan" | "-nan" => Some(f64::NAN),
        _ => None,
    }
}

fn blank(c: char) -> bool {
    c == ' ' || ('\t'..='\r').contains(&c)
}

/// The sign of currency in the invariant culture.
const CURRENCY: char = '\u{a4}';

#[derive(Default)]
struct Around {
    sign: bool,
    negative: bool,
    parentheses: bool,
    currency: bool,
}

fn plain(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut around = Around::default();
    while let Some(c) = rest.chars().next() {
        match c {
            // Behind a sign only the currency sign makes a blank possible again.
            c if blank(c) && (!around.sign || around.currency) => {}
            '+' | '-' if !around.sign => (around.sign, around.negative) = (true, c == '-'),
            '(' if !around.sign => (around.sign, around.negative, around.parentheses) = (true, true, true),
            CURRENCY if !around.currency => around.currency = true,
            _ => break,
        }
        rest = &rest[c.len_utf8()..];
    }
    let (digits, after) = mantissa(rest)?;
    rest = after;
    while let Some(c) = rest.chars().next() {
        match c {
            c if blank(c) => {}
            '+' | '-' if !around.sign => (around.sign, around.negative) = (true, c == '-'),
            ')' if around.parentheses => around.parentheses = false,
            CURRENCY if !around.currency => around.currency = true,
            _ => return None,
        }
        rest = &rest[c.len_utf8()..];
    }
    if around.parentheses {
        return None;
    }
    let number: f64 = digits.parse().ok()?;
    Some(if around.negative { -number } else { number })
}

/// Digits, point and exponent with the commas taken out, and the rest behind them.
fn mantissa(text: &str) -> Option<(String, &str)> {
    let (mut plain, mut seen, mut point) = (String::new(), false, false);
    let mut end = 0;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                plain.push(c);
                seen = true;
            }
            ',' if seen && !point => {}
            '.' if !point => {
                plain.push('.');
                point = true;
            }
            _ => break,
        }
        end = at + 1;
    }
    if !seen {
        return None;
    }
    let rest = &text[end..];
    let exponent = rest.strip_prefix(['e', 'E']).and_then(|tail| {
        let signed = usize::from(tail.starts_with(['+', '-']));
        let digits = tail[signed..].bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then(|| &tail[..signed + digits])
    });
    // `5.` is no number to the standard library.
    let plain = if plain.ends_with('.') { format!("{plain}0") } else { plain };
    match exponent {
        Some(exponent) => Some((format!("{plain}e{exponent}"), &rest[1 + exponent.len()..])),
        None => Some((plain, rest)),
    }
}
