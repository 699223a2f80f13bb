//! `#[loop_runtime::main]` and `#[loop_runtime::test]`: an `async fn` becomes a function that runs
//! it on a loop. Reads only the signature; the body stays as it was written.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

mod arguments;
use arguments::Argument;

/// Runs an `async fn main()` on an event loop of its own.
///
/// The function may return what a `main` may return. A loop that cannot be made, an interrupt and
/// a cancelled main task end the process with their text and exit code 1 (130 after Ctrl-C).
///
/// ```ignore
/// #[loop_runtime::main]
/// async fn main() {
///     loop_runtime::sleep(std::time::Duration::from_millis(1)).await;
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |function| {
        let arguments = arguments::parse(arguments, &["name"])?;
        let settings = arguments
            .iter()
            .map(|argument| argument.call())
            .collect::<String>();
        Ok((
            String::new(),
            format!(
                "::loop_runtime::__private::main(::loop_runtime::Builder::new(){settings}, {}())",
                function.name
            ),
        ))
    })
}

/// Runs an `async fn` as a test on an event loop of its own, and judges what the loop recorded.
///
/// Arguments: `max_blocked = "50ms"` fails the test when a poll took longer, not counting the time
/// in which the thread waited for a CPU; `leaks = "deny"` fails it when a task that it spawned can
/// never end or is still there after `grace = "250ms"`; `leaks = "allow"` is the default.
/// `blocking = "deny"` fails it for calls that block, made inside a poll (feature `intercept`).
/// `clock = "turned"` runs it on a clock that jumps to the next deadline instead of waiting.
///
/// ```ignore
/// #[loop_runtime::test(max_blocked = "50ms", leaks = "deny")]
/// async fn answers_quickly() {
///     assert_eq!(answer().await, 42);
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(item, |function| {
        let arguments = arguments::parse(
            arguments,
            &["max_blocked", "leaks", "grace", "clock", "blocking"],
        )?;
        let settings = arguments
            .iter()
            .map(|argument| argument.call())
            .collect::<String>();
        let name = &function.name;
        Ok((
            "#[::core::prelude::v1::test]".to_owned(),
            format!(
                "::loop_runtime::testing::Test::new(::core::concat!(::core::module_path!(), \"::{name}\")){settings}.run({name}())"
            ),
        ))
    })
}

struct Function {
    name: String,
}

type Made = Result<(String, String), (String, Span)>;

/// `attributes vis async fn name() -> R { body }` becomes
/// `attributes vis fn name() -> R { async fn name() -> R { body } call }`.
fn expand(item: TokenStream, make: impl FnOnce(&Function) -> Made) -> TokenStream {
    match parts(item.clone()).and_then(|parts| {
        let function = Function {
            name: parts.name.clone(),
        };
        make(&function).map(|(attribute, call)| parts.assemble(&attribute, &call))
    }) {
        Ok(tokens) => tokens,
        Err((message, span)) => {
            let mut tokens = compile_error(&message, span);
            tokens.extend(item);
            tokens
        }
    }
}

struct Parts {
    /// Attributes and visibility.
    head: Vec<TokenTree>,
    /// From `async` to the body.
    inner: Vec<TokenTree>,
    /// From `fn` to before the body.
    signature: Vec<TokenTree>,
    name: String,
}

fn parts(item: TokenStream) -> Result<Parts, (String, Span)> {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let is = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(ident) if ident.to_string() == word);
    let first = tokens.first().map_or_else(Span::call_site, TokenTree::span);
    let not_async = || ("this attribute goes on an `async fn`".to_owned(), first);
    let start = tokens
        .iter()
        .position(|token| is(token, "async"))
        .ok_or_else(not_async)?;
    let function = tokens
        .iter()
        .position(|token| is(token, "fn"))
        .ok_or_else(not_async)?;
    let Some(TokenTree::Ident(name)) = tokens.get(function + 1) else {
        return Err(not_async());
    };
    match tokens.get(function + 2) {
        Some(TokenTree::Group(group))
            if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty() => {}
        Some(other) => {
            return Err((
                "the function takes no arguments and is not generic".to_owned(),
                other.span(),
            ));
        }
        None => return Err(not_async()),
    }
    let Some(TokenTree::Group(body)) = tokens.last() else {
        return Err(not_async());
    };
    if body.delimiter() != Delimiter::Brace {
        return Err(("the function needs a body".to_owned(), body.span()));
    }
    Ok(Parts {
        head: tokens[..start].to_vec(),
        inner: tokens[start..].to_vec(),
        signature: tokens[function..tokens.len() - 1].to_vec(),
        name: name.to_string(),
    })
}

impl Parts {
    fn assemble(self, attribute: &str, call: &str) -> TokenStream {
        let mut body: TokenStream = self.inner.into_iter().collect();
        body.extend(source(call));
        let mut all = source(attribute);
        all.extend(self.head);
        all.extend(self.signature);
        all.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
        all
    }
}

fn source(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|_| {
        compile_error(
            "the attribute made code that does not parse; please report this",
            Span::call_site(),
        )
    })
}

fn compile_error(message: &str, span: Span) -> TokenStream {
    let mut literal = Literal::string(message);
    literal.set_span(span);
    let group = Group::new(Delimiter::Brace, TokenTree::Literal(literal).into());
    [
        TokenTree::Ident(Ident::new("compile_error", span)),
        TokenTree::Punct(Punct::new('!', Spacing::Alone)),
        TokenTree::Group(group),
    ]
    .into_iter()
    .map(|mut token| {
        token.set_span(span);
        token
    })
    .collect()
}

impl Argument {
    /// The builder call for `key = "value"`.
    fn call(&self) -> String {
        format!(".{}({:?})", self.key, self.value)
    }
}
