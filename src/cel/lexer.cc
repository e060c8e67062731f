#include "cel/lexer.h"

#include <optional>
#include <string>

namespace keles::cel {
namespace {

constexpr size_t kMaxIssuesOfTokens = 100;

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_hex(char32_t c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Reads one token at a time; the longest that matches wins. `reached_` is the furthest character
// looked at: what an error shows.
class Lexer {
 public:
  Lexer(const Source& source, Issues& issues) : source_(source), issues_(issues) {}

  std::vector<Lexeme> run() {
    std::vector<Lexeme> out;
    size_t faults = 0;
    for (;;) {
      skip_blank();
      if (at_ >= text().size()) break;
      reached_ = at_;
      if (const std::optional<Lexeme> lexeme = next()) {
        out.push_back(*lexeme);
        at_ = static_cast<size_t>(lexeme->end);
        continue;
      }
      if (++faults <= kMaxIssuesOfTokens) tell();
      at_ = reached_ + 1;
    }
    const auto end = static_cast<int32_t>(text().size());
    out.push_back({Token::kEnd, end, end});
    return out;
  }

 private:
  const std::u32string& text() const { return source_.runes(); }
  // 0 beyond the end.
  char32_t look(size_t i) {
    if (i > reached_) reached_ = i;
    return i < text().size() ? text()[i] : 0;
  }
  bool beyond(size_t i) const { return i >= text().size(); }

  void skip_blank() {
    for (; at_ < text().size(); ++at_) {
      const char32_t c = text()[at_];
      if (c == '/' && at_ + 1 < text().size() && text()[at_ + 1] == '/') {
        while (at_ < text().size() && text()[at_] != '\n') ++at_;
        if (at_ >= text().size()) return;
      } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f') {
        return;
      }
    }
  }

  void tell() {
    std::string shown;
    for (size_t i = at_; i <= reached_ && i < text().size(); ++i) {
      const char32_t c = text()[i];
      if (c == '\n') {
        shown += "\\n";
      } else if (c == '\r') {
        shown += "\\r";
      } else if (c == '\t') {
        shown += "\\t";
      } else {
        append_rune(shown, c);
      }
    }
    issues_.add(source_.location(static_cast<int32_t>(at_)),
                "Syntax error: token recognition error at: '" + shown + "'");
  }

  Lexeme lexeme(Token t, size_t end) const {
    return {t, static_cast<int32_t>(at_), static_cast<int32_t>(end)};
  }

  std::optional<Lexeme> next() {
    const char32_t c = look(at_);
    if (is_digit(c) || (c == '.' && is_digit(look(at_ + 1)))) return number();
    if (is_letter(c)) {
      if (const auto s = prefixed_string()) return s;
      return word();
    }
    if (c == '"' || c == '\'') {
      if (const size_t end = string_end(at_, false); end != 0) return lexeme(Token::kString, end);
      return std::nullopt;
    }
    if (c == '`') return escaped_ident();
    return punctuation(c);
  }

  std::optional<Lexeme> punctuation(char32_t c) {
    const bool equals = look(at_ + 1) == '=';
    switch (c) {
      case '=':
        if (equals) return lexeme(Token::kEquals, at_ + 2);
        return std::nullopt;
      case '!':
        return equals ? lexeme(Token::kNotEquals, at_ + 2) : lexeme(Token::kNot, at_ + 1);
      case '<':
        return equals ? lexeme(Token::kLessEquals, at_ + 2) : lexeme(Token::kLess, at_ + 1);
      case '>':
        return equals ? lexeme(Token::kGreaterEquals, at_ + 2) : lexeme(Token::kGreater, at_ + 1);
      case '&':
        if (look(at_ + 1) == '&') return lexeme(Token::kAnd, at_ + 2);
        return std::nullopt;
      case '|':
        if (look(at_ + 1) == '|') return lexeme(Token::kOr, at_ + 2);
        return std::nullopt;
      default:
        break;
    }
    reached_ = at_;
    constexpr std::u32string_view kSingle = U"[]{}().,-?:+*/%";
    constexpr Token kTokens[] = {Token::kLeftBracket, Token::kRightBracket, Token::kLeftBrace,
                                 Token::kRightBrace,  Token::kLeftParen,    Token::kRightParen,
                                 Token::kDot,         Token::kComma,        Token::kMinus,
                                 Token::kQuestion,    Token::kColon,        Token::kPlus,
                                 Token::kStar,        Token::kSlash,        Token::kPercent};
    const size_t i = kSingle.find(c);
    if (i == kSingle.npos) return std::nullopt;
    return lexeme(kTokens[i], at_ + 1);
  }

  Lexeme number() {
    size_t i = at_;
    if (look(i) == '0' && look(i + 1) == 'x' && is_hex(look(i + 2))) {
      for (i += 2; is_hex(look(i)); ++i) {
      }
      return suffix(i);
    }
    while (is_digit(look(i))) ++i;
    bool floating = false;
    if (look(i) == '.' && is_digit(look(i + 1))) {
      floating = true;
      for (++i; is_digit(look(i)); ++i) {
      }
    }
    if (look(i) == 'e' || look(i) == 'E') {
      size_t j = i + 1;
      if (look(j) == '+' || look(j) == '-') ++j;
      if (is_digit(look(j))) {
        floating = true;
        for (i = j; is_digit(look(i)); ++i) {
        }
      }
    }
    return floating ? lexeme(Token::kFloat, i) : suffix(i);
  }

  Lexeme suffix(size_t i) {
    if (look(i) == 'u' || look(i) == 'U') return lexeme(Token::kUint, i + 1);
    return lexeme(Token::kInt, i);
  }

  Lexeme word() {
    size_t i = at_;
    while (is_letter(look(i)) || is_digit(look(i))) ++i;
    const std::u32string_view word = std::u32string_view(text()).substr(at_, i - at_);
    Token t = Token::kIdent;
    if (word == U"in") t = Token::kIn;
    if (word == U"true") t = Token::kTrue;
    if (word == U"false") t = Token::kFalse;
    if (word == U"null") t = Token::kNull;
    return lexeme(t, i);
  }

  std::optional<Lexeme> escaped_ident() {
    size_t i = at_ + 1;
    for (;; ++i) {
      const char32_t c = look(i);
      if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-' && c != '/' && c != ' ') break;
    }
    if (i == at_ + 1 || look(i) != '`') return std::nullopt;
    return lexeme(Token::kEscapedIdent, i + 1);
  }

  // r"", b"", br"" and the like: letters that belong to a string.
  std::optional<Lexeme> prefixed_string() {
    size_t i = at_;
    bool bytes = false, raw = false;
    if (look(i) == 'b' || look(i) == 'B') {
      bytes = true;
      ++i;
    }
    if (look(i) == 'r' || look(i) == 'R') {
      raw = true;
      ++i;
    }
    if (i == at_ || (look(i) != '"' && look(i) != '\'')) return std::nullopt;
    const size_t end = string_end(i, raw);
    if (end == 0) return std::nullopt;
    return lexeme(bytes ? Token::kBytes : Token::kString, end);
  }

  // Behind the string whose quote is at `i`, or 0.
  size_t string_end(size_t i, bool raw) {
    const char32_t quote = look(i);
    const bool three = look(i + 1) == quote && look(i + 2) == quote;
    if (three) {
      if (const size_t end = body_end(i + 3, quote, raw, true); end != 0) return end;
    }
    return body_end(i + 1, quote, raw, false);
  }

  size_t body_end(size_t i, char32_t quote, bool raw, bool three) {
    while (!beyond(i)) {
      const char32_t c = look(i);
      if (c == quote && (!three || (look(i + 1) == quote && look(i + 2) == quote))) {
        return i + (three ? 3 : 1);
      }
      if (!three && (c == '\n' || c == '\r')) return 0;
      if (c == '\\' && !raw) {
        const size_t length = escape_length(i);
        if (length == 0) return 0;
        i += length;
      } else {
        ++i;
      }
    }
    look(i);
    return 0;
  }

  // How long the escape at `i` is, its backslash included; 0 when it is none.
  size_t escape_length(size_t i) {
    const char32_t c = look(i + 1);
    size_t digits = 0;
    switch (c) {
      case 'x':
      case 'X':
        digits = 2;
        break;
      case 'u':
        digits = 4;
        break;
      case 'U':
        digits = 8;
        break;
      case '0':
      case '1':
      case '2':
      case '3':
        for (size_t k = 2; k <= 3; ++k) {
          if (look(i + k) < '0' || look(i + k) > '7') return 0;
        }
        return 4;
      default:
        return c != 0 && std::u32string_view(U"abfnrtv\"'\\?`").find(c) != std::u32string_view::npos
                   ? 2
                   : 0;
    }
    for (size_t k = 0; k < digits; ++k) {
      if (!is_hex(look(i + 2 + k))) return 0;
    }
    return 2 + digits;
  }

  const Source& source_;
  Issues& issues_;
  size_t at_ = 0;
  size_t reached_ = 0;
};

}  // namespace

std::string_view token_text(Token t) {
  constexpr std::string_view kTexts[] = {
      "<EOF>",   "'=='",     "'!='",   "'in'",    "'<'",        "'<='",
      "'>='",    "'>'",      "'&&'",   "'||'",    "'['",        "']'",
      "'{'",     "'}'",      "'('",    "')'",     "'.'",        "','",
      "'-'",     "'!'",      "'?'",    "':'",     "'+'",        "'*'",
      "'/'",     "'%'",      "'true'", "'false'", "'null'",     "NUM_FLOAT",
      "NUM_INT", "NUM_UINT", "STRING", "BYTES",   "IDENTIFIER", "ESC_IDENTIFIER"};
  return kTexts[static_cast<size_t>(t)];
}

std::vector<Lexeme> tokenize(const Source& source, Issues& issues) {
  return Lexer(source, issues).run();
}

}  // namespace keles::cel
