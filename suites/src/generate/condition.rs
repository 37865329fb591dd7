//! Conditions: well typed trees written down in many ways, and texts that are refused.

use proptest::prelude::*;
use proptest::sample::select;

use super::{MEMBERS, PROPERTIES, TEXTS};
use crate::refusal::Refused;

type Text = BoxedStrategy<String>;

/// A condition that compiles, with rare exceptions that the oracle knows.
pub fn condition() -> impl Strategy<Value = String> {
    truth(3)
}

fn truth(depth: u32) -> Text {
    let leaf = prop_oneof![
        4 => compared(text(0), text(0)),
        3 => compared(number(1), number(1)),
        3 => compared(path(), anything()),
        2 => predicate(),
        1 => tested(),
        1 => select(vec!["true", "false"]).prop_map(str::to_owned),
        1 => compared(Just("null".to_owned()).boxed(), Just("null".to_owned()).boxed()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    // One tree below, shared: a tree for each place would grow twelvefold with each level.
    let below = truth(depth - 1);
    let inner = || below.clone();
    prop_oneof![
        6 => leaf,
        2 => (word("not"), inner()).prop_map(|(not, operand)| format!("{not} ({operand})")),
        3 => (inner(), junction(), inner()).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        2 => (inner(), junction(), inner()).prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
        1 => (path(), junction(), inner()).prop_map(|(left, operator, right)| format!("{left} {operator} ({right})")),
        1 => (inner(), junction(), select(vec!["null", "undefined"])).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        1 => (inner(), compare_operator(), inner()).prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
        1 => (inner(), inner()).prop_map(|(left, right)| format!("({left}) ?? ({right})")),
        1 => path(),
        1 => inner().prop_map(|inner| format!("/* note */ {inner}")),
    ]
    .boxed()
}

fn compared(left: Text, right: Text) -> Text {
    (left, compare_operator(), right).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")).boxed()
}

fn compare_operator() -> impl Strategy<Value = &'static str> {
    select(vec!["=", "<>", "!=", "<", ">", "<=", ">="])
}

fn junction() -> impl Strategy<Value = String> {
    select(vec!["and", "or", "AND", "Or"]).prop_map(str::to_owned)
}

/// A keyword or function in some letter case.
fn word(word: &'static str) -> impl Strategy<Value = String> {
    select(vec![word.to_owned(), word.to_ascii_uppercase()])
}

fn literal() -> Text {
    (select(TEXTS.to_vec()), any::<bool>())
        .prop_map(|(text, double)| if double { format!("\"{text}\"") } else { format!("'{text}'") })
        .boxed()
}

fn property() -> Text {
    prop_oneof![
        5 => select(PROPERTIES.to_vec()).prop_map(str::to_owned),
        1 => select(vec!["LINE", "Grade", "absent", "line!", "bare"]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn system() -> Text {
    select(vec![
        "$messageId",
        "$contentType",
        "{$messageId}",
        "{ $userId }",
        "$cid",
        "$MESSAGEID",
        "$connectionModuleId",
        "$connectionDeviceId",
        "$outputName",
        "$nosuch",
        "$correlationId",
        "$edgeHubOriginInterface",
        "$to",
        "$dt-subject",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

fn text(depth: u32) -> Text {
    let leaf = prop_oneof![4 => property(), 3 => literal(), 1 => system(), 1 => escaped()];
    if depth > 1 {
        return leaf.boxed();
    }
    let below = text(depth + 1);
    let inner = || below.clone();
    prop_oneof![
        6 => leaf,
        1 => (inner(), inner()).prop_map(|(left, right)| format!("({left} || {right})")),
        1 => (word("concat"), inner(), inner()).prop_map(|(name, left, right)| format!("{name}({left}, {right})")),
        1 => (select(vec!["lower", "UPPER", "upper"]), inner()).prop_map(|(name, text)| format!("{name}({text})")),
        1 => (inner(), 0..7i32).prop_map(|(text, start)| format!("substring({text}, {start})")),
        1 => (inner(), 0..7i32, 0..5i32).prop_map(|(text, start, length)| format!("substring({text}, {start}, {length})")),
        1 => (inner(), inner()).prop_map(|(left, right)| format!("({left} ?? {right})")),
    ]
    .boxed()
}

fn escaped() -> Text {
    select(vec![r"'\u0070ress'", r"'it\'s'", r#"'a\\b'"#, r"'\ud83d\ude00'", r"'\ufffd'"])
        .prop_map(str::to_owned)
        .boxed()
}

fn number(depth: u32) -> Text {
    let leaf = prop_oneof![
        4 => select(vec!["12", "7", "0", "-3.5", "1000", "0x0C", ".5", "1e3", "5", "-1", "9007199254740993"]).prop_map(str::to_owned),
        3 => (word("as_number"), property()).prop_map(|(name, text)| format!("{name}({text})")),
        1 => literal().prop_map(|text| format!("as_number({text})")),
        1 => text(1).prop_map(|text| format!("length({text})")),
        1 => (text(1), literal()).prop_map(|(text, part)| format!("index_of({text}, {part})")),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let below = number(depth - 1);
    let inner = || below.clone();
    prop_oneof![
        5 => leaf,
        3 => (inner(), select(vec!["+", "-", "*", "/", "%"]), inner()).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        1 => (inner(), select(vec!["+", "-", "*", "/", "%"]), inner()).prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
        1 => (select(vec!["abs", "ceiling", "floor", "square", "sqrt", "sign"]), inner()).prop_map(|(name, operand)| format!("{name}({operand})")),
        1 => (inner(), 0..3i32).prop_map(|(base, exponent)| format!("power({base}, {exponent})")),
        1 => inner().prop_map(|operand| format!("- ({operand})")),
        1 => (inner(), inner()).prop_map(|(left, right)| format!("({left} ?? {right})")),
    ]
    .boxed()
}

fn path() -> Text {
    let member = select(MEMBERS.to_vec());
    prop_oneof![
        5 => member.clone().prop_map(|member| format!("$body.{member}")),
        1 => member.clone().prop_map(|member| format!("{{$body.{member}}}")),
        1 => member.clone().prop_map(|member| format!("$BODY.{member}")),
        1 => member.prop_map(|member| format!("$body.obj.{member}")),
        1 => (0..4u32).prop_map(|index| format!("$body.list[{index}]")),
        1 => select(vec!["$body.missing", "$body.N", "$body.at", "$body.obj.list[0].n"]).prop_map(str::to_owned),
        1 => (select(vec!["$body.n", "$body.s"]), select(vec!["+", "-", "*", "/"]), 0..3i32).prop_map(|(path, operator, number)| format!("({path} {operator} {number})")),
    ]
    .boxed()
}

/// What a body path can be compared with.
fn anything() -> Text {
    prop_oneof![
        3 => number(0),
        2 => literal(),
        1 => property(),
        1 => path(),
        1 => select(vec!["null", "true", "false"]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn predicate() -> Text {
    (
        select(vec!["starts_with", "ends_with", "contains", "CONTAINS"]),
        prop_oneof![3 => text(1), 1 => path()],
        prop_oneof![3 => literal(), 1 => property()],
    )
        .prop_map(|(name, text, part)| format!("{name}({text}, {part})"))
        .boxed()
}

fn tested() -> Text {
    let subject = prop_oneof![3 => property(), 2 => path(), 1 => system(), 1 => number(0), 1 => literal(), 1 => select(vec!["null", "undefined", "true"]).prop_map(str::to_owned)];
    (select(vec!["is_defined", "is_null", "is_bool", "is_number", "is_string", "IS_DEFINED"]), subject)
        .prop_map(|(name, subject)| format!("{name}({subject})"))
        .boxed()
}

/// A text that is refused, and where.
pub fn broken_condition() -> impl Strategy<Value = (String, Refused)> {
    let parsing = (
        property(),
        literal(),
        select(vec![
            "§ = ",
            "§ == ¤",
            "§ = ¤ junk",
            "= ¤",
            "()",
            "§ = ¤ and",
            "§ && ¤",
            "starts_with(§, ¤",
            "§ = ¤)",
            "{§} = ¤",
            "§ = [¤]",
            "not",
            "§ = ¤ ¤",
            "§ in (¤)",
            "§ LIKE ¤",
            "5 -3 = 2",
            "count='7'and § = ¤",
        ]),
    )
        .prop_map(|(property, literal, shape)| {
            (shape.replace('§', &property).replace('¤', &literal), Refused::Parsing)
        });
    let compiling = (
        property(),
        literal(),
        select(vec![
            "§ = 12",
            "§ = null",
            "§ = true",
            "not §",
            "(§ = ¤",
            "§ = ¤ and 1",
            "nosuch(§)",
            "is_array(§)",
            "concat(¤)",
            "upper(§, ¤)",
            "- § = 1",
            "§ + ¤ = ¤",
            "§ ?? ¤ = ¤",
            "$body.n % 2 = 0",
            "- $body.n = 1",
            "true and $body.ok",
            "1 < 2 < 3",
            "null and undefined",
            "length(12) = 2",
            "@ § = ¤",
            "$body. = 1",
            "$body.5 = 1",
            "$body.a[x] = 1",
            "twin_change_includes(§)",
            "e5 = 1",
            "5. = 5",
        ]),
    )
        .prop_map(|(property, literal, shape)| {
            (shape.replace('§', &property).replace('¤', &literal), Refused::Compiling)
        });
    prop_oneof![parsing, compiling]
}
