//! Filter parser: text to expression, `or` of `and` of `not` of comparisons and parentheses.

use super::error::{FilterError, closest, listed};
use super::expr::{Comparison, Expr, Relation, Values};
use super::literal;
use super::schema::{Schema, ValueKind};
use super::span::Span;
use super::token::{Kind as Token, Token as Placed, tokens};
use crate::record::{Unit, Word};

/// Parentheses and negations within each other. More is no filter that anybody wrote, and this much fits any stack.
const MAX_DEPTH: usize = 64;

/// The expression that a text is.
///
/// # Errors
/// The first token that cannot stand where it stands.
pub(crate) fn parse<S: Schema>(text: &str) -> Result<Expr<S>, FilterError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    if parser.peek().kind == Token::End {
        return Err(parser.refused("the filter is empty; an example is `rst.count > 0 and fin.count = 0`"));
    }
    let expr = parser.or()?;
    match parser.peek().kind {
        Token::End => Ok(expr),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed<'a>>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Placed<'a> {
        // The last token is the end, which is never passed by.
        &self.tokens[self.next]
    }

    fn pass(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn is_word(&self, keyword: &str) -> bool {
        matches!(self.peek().kind, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Passes a keyword, or the sign that stands for it.
    fn takes(&mut self, keyword: &str, sign: &str) -> bool {
        let is_it = self.is_word(keyword) || matches!(self.peek().kind, Token::Sign(found) if found == sign);
        if is_it {
            self.pass();
        }
        is_it
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        self.takes(sign, sign)
    }

    fn refused(&self, what: impl Into<String>) -> FilterError {
        FilterError::new(self.text, self.peek().at.clone(), what.into())
    }

    fn expected(&self, what: &str) -> FilterError {
        self.refused(format!("expected {what}, found {}", self.peek().name()))
    }

    fn or<S: Schema>(&mut self) -> Result<Expr<S>, FilterError> {
        self.joined(("or", "||"), Self::and, Expr::Or)
    }

    fn and<S: Schema>(&mut self) -> Result<Expr<S>, FilterError> {
        self.joined(("and", "&&"), Self::not, Expr::And)
    }

    fn joined<S: Schema>(
        &mut self,
        (keyword, sign): (&str, &str),
        one: fn(&mut Self) -> Result<Expr<S>, FilterError>,
        all: fn(Vec<Expr<S>>) -> Expr<S>,
    ) -> Result<Expr<S>, FilterError> {
        let first = one(self)?;
        if !self.takes(keyword, sign) {
            return Ok(first);
        }
        let mut parts = vec![first, one(self)?];
        while self.takes(keyword, sign) {
            parts.push(one(self)?);
        }
        Ok(all(parts))
    }

    fn not<S: Schema>(&mut self) -> Result<Expr<S>, FilterError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.refused(format!("more than {MAX_DEPTH} parentheses and negations within each other")));
        }
        self.depth += 1;
        let expr = if self.takes("not", "!") {
            self.not().map(|one| Expr::Not(Box::new(one)))
        } else if self.takes_sign("(") {
            self.or().and_then(|inner| if self.takes_sign(")") { Ok(inner) } else { Err(self.expected("`)`")) })
        } else {
            self.comparison()
        };
        self.depth -= 1;
        expr
    }

    fn comparison<S: Schema>(&mut self) -> Result<Expr<S>, FilterError> {
        if let Token::Word(word) = self.peek().kind
            && let Some(expression) = S::shorthand(word)
        {
            self.pass();
            return parse(expression);
        }
        let field: S = self.field()?;
        self.pass();
        // `x not in {..}` as people say it.
        let is_negated = self.is_word("not") && {
            self.pass();
            if !self.is_word("in") {
                return Err(self.expected("`in` after `not`"));
            }
            true
        };
        let relation = self.relation(field)?;
        self.pass();
        let comparison = match field.value_kind() {
            ValueKind::Address => self.addresses(field, relation)?,
            _ => Expr::Comparison(Comparison { field, relation, values: self.values(field, relation)? }),
        };
        Ok(if is_negated { Expr::Not(Box::new(comparison)) } else { comparison })
    }

    fn field<S: Schema>(&self) -> Result<S, FilterError> {
        let Token::Word(name) = self.peek().kind else {
            return Err(self.expected("a field such as `rst.count`, `not` or `(`"));
        };
        S::find(name).ok_or_else(|| {
            let words: Vec<&str> =
                self.tokens[self.next..].iter().map_while(|token| token.kind.word()).take(4).collect();
            let hint = match (S::translated(&words), closest(name, S::names().into_iter())) {
                (Some(here), _) => format!("here that is `{here}`"),
                (None, Some(known)) => format!("did you mean `{known}`?"),
                (None, None) => format!("`{}` lists them", S::LISTED_BY),
            };
            self.refused(format!("unknown field `{name}`; {hint}"))
        })
    }

    fn relation<S: Schema>(&self, field: S) -> Result<Relation, FilterError> {
        let (kind, name) = (field.value_kind(), field.name());
        let sign = match self.peek().kind {
            Token::Sign("==") => "=",
            Token::Sign(sign) => sign,
            Token::Word(word) => word,
            Token::Quoted(_) | Token::End => "",
        };
        let found = Relation::ALL.into_iter().find(|relation| relation.sign().eq_ignore_ascii_case(sign));
        match found {
            Some(relation) if relation.suits(kind) => Ok(relation),
            _ => {
                let suiting = Relation::ALL.into_iter().filter(|relation| relation.suits(kind));
                let suiting = listed(suiting.map(Relation::sign));
                Err(self.refused(match found {
                    Some(_) => format!("`{name}` cannot be compared by `{sign}`; it can by {suiting}"),
                    // As tcpdump writes it: `port 80`.
                    None if matches!(self.peek().kind, Token::Word(word) if word.starts_with(|c: char| c.is_ascii_digit())) => {
                        format!("expected {suiting} after `{name}`, as in `{name} = {sign}`")
                    }
                    None => format!("expected {suiting} after `{name}`, found {}", self.peek().name()),
                }))
            }
        }
    }

    /// A comparison of addresses. One with its port, as both are printed, is compared as two fields of one end.
    fn addresses<S: Schema>(&mut self, field: S, relation: Relation) -> Result<Expr<S>, FilterError> {
        let one = |this: &Self, text: &str| {
            let known = literal::prefix(text).map(|prefix| (prefix, None));
            known.or_else(|| literal::endpoint(text).map(|(ip, port)| (ip, Some(port)))).ok_or_else(|| {
                this.expected(
                    "an address, with a port or without, or a prefix such as 10.0.0.1, 10.0.0.0/8 or fd00::/8",
                )
            })
        };
        let values = self.each(relation, field, one)?;
        let plain: Vec<_> = values.iter().filter(|(_, port)| port.is_none()).map(|(prefix, _)| *prefix).collect();
        if plain.len() == values.len() {
            return Ok(Expr::Comparison(Comparison { field, relation, values: Values::Prefixes(plain) }));
        }
        let equal = |field, values| Expr::Comparison(Comparison { field, relation: Relation::Equal, values });
        let mut any: Vec<_> = plain.into_iter().map(|prefix| equal(field, Values::Prefixes(vec![prefix]))).collect();
        for (ip, port) in values.iter().filter_map(|(ip, port)| Some((*ip, u64::from((*port)?)))) {
            let port = Values::Numbers(Unit::Count, vec![Span { first: port, last: port }]);
            let of_end = |[of_ip, of_port]: [S; 2]| {
                Expr::And(vec![equal(of_ip, Values::Prefixes(vec![ip])), equal(of_port, port.clone())])
            };
            any.extend(field.ends().into_iter().map(of_end));
        }
        let expr = if any.len() == 1 { any.swap_remove(0) } else { Expr::Or(any) };
        Ok(if relation == Relation::NotEqual { Expr::Not(Box::new(expr)) } else { expr })
    }

    /// What stands to the right of the relation.
    fn values<S: Schema>(&mut self, field: S, relation: Relation) -> Result<Values, FilterError> {
        match field.value_kind() {
            ValueKind::Number(unit, most) => self.numbers(field, relation, unit, most),
            // Of these [`Self::addresses`] makes more than one comparison.
            ValueKind::Address => Err(self.expected("an address")),
            ValueKind::Words { all, .. } => {
                let all = all();
                let one = |this: &Self, text: &str| {
                    let known = all.iter().find(|known| known.name.eq_ignore_ascii_case(text)).copied();
                    known.ok_or_else(|| this.unknown_word(field, &all, text))
                };
                self.each(relation, field, one).map(Values::Words)
            }
            ValueKind::Name => {
                let one = |this: &Self, text: &str| {
                    let is_one = literal::is_name(text);
                    is_one
                        .then(|| text.to_owned())
                        .ok_or_else(|| this.expected("a name such as private, https or tcp/8443"))
                };
                self.each(relation, field, one).map(Values::Names)
            }
            ValueKind::Text => {
                let (Token::Word(text) | Token::Quoted(text)) = self.peek().kind else {
                    return Err(self.expected("letters such as \"ShADFaf\""));
                };
                self.pass();
                Ok(Values::Text(text.to_owned()))
            }
        }
    }

    fn numbers<S: Schema>(
        &mut self,
        field: S,
        relation: Relation,
        unit: Unit,
        most: u64,
    ) -> Result<Values, FilterError> {
        let one = |this: &Self, text: &str| {
            let Some(span) = literal::read_span(unit, text) else {
                return Err(this.expected(&format!("{} after `{}`", literal::example(unit), field.name())));
            };
            if span.last > most {
                return Err(this.refused(format!("`{}` is {most} at most", field.name())));
            }
            if relation.is_order() && span.first != span.last {
                return Err(
                    this.refused(format!("a range cannot be compared by `{}`; use =, != or in", relation.sign()))
                );
            }
            Ok(span)
        };
        self.each(relation, field, one).map(|spans| Values::Numbers(unit, spans))
    }

    /// One value, or after `in` as many as stand between braces.
    fn each<S: Schema, T>(
        &mut self,
        relation: Relation,
        field: S,
        one: impl Fn(&Self, &str) -> Result<T, FilterError>,
    ) -> Result<Vec<T>, FilterError> {
        let is_set = relation == Relation::In && self.takes_sign("{");
        let mut values = Vec::new();
        loop {
            let (Token::Word(text) | Token::Quoted(text)) = self.peek().kind else {
                return Err(self.expected(&format!("a value for `{}`", field.name())));
            };
            values.push(one(self, text)?);
            self.pass();
            if !is_set || self.takes_sign("}") {
                return Ok(values);
            }
            if !self.takes_sign(",") {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn unknown_word<S: Schema>(&self, field: S, all: &[Word], text: &str) -> FilterError {
        let hint = closest(text, all.iter().map(|word| word.name)).map_or_else(
            || format!("it is one of {}", listed(all.iter().map(|word| word.name))),
            |known| format!("did you mean `{known}`?"),
        );
        self.refused(format!("`{}` is never `{text}`; {hint}", field.name()))
    }
}
