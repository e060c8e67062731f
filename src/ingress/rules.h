// Rules of the Gateway API as values: what a request must be, and what is done with it. Like
// routing.h's, these are made by parsing alone; header names and values are the only texts of users
// that reach HAProxy's configuration, and quoted() is the only way for them to do so.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ingress/routing.h"

namespace keles::ingress {

// A name of a header or a query parameter: letters, digits, '-' and '_'.
class Token {
 public:
  static std::optional<Token> parse(std::string_view text);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What a header or a parameter can be: printable ASCII and blanks, at most 4,096 bytes.
class Text {
 public:
  static std::optional<Text> parse(std::string_view text);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// A regular expression that the whole of a text is to match: RE2's syntax, printable ASCII, at most
// 1,024 bytes. HAProxy's engine (PCRE2) has the last word: Proxy::try_pattern.
class Expression {
 public:
  static Result<Expression> parse(std::string_view text);
  const std::string& text() const { return text_; }  // with its anchors

 private:
  std::string text_;
};

// As one word of HAProxy's configuration, whatever is in it; as one that is a format, in which
// nothing is a variable.
std::string quoted(std::string_view text);
std::string quoted_format(std::string_view text);

struct NameValue {
  Token name;
  Text value;
};
struct Match {
  Token name;
  Text value;
  std::optional<Expression> like;  // instead of the value
};
struct HeaderChange {
  std::vector<NameValue> set, add;
  std::vector<Token> remove;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};
// The origins of which a browser may use the answers (the CORS protocol of the Fetch standard).
struct Cors {
  // None of a wildcard: as it is in the header. "https://*.example.com": any number of labels.
  class Origin {
   public:
    static std::optional<Origin> parse(std::string_view text);
    bool any() const { return expression_.empty(); }
    const std::string& expression() const { return expression_; }

   private:
    std::string expression_;  // made of what was parsed; "": "*"
  };
  // Names, or "*".
  struct Names {
    bool any = false;
    std::vector<Token> names;
  };
  std::vector<Origin> origins;
  bool credentials = false;
  Names methods, headers, exposed;
  int64_t max_age = 5;  // seconds
};
struct PathChange {
  enum class Kind : uint8_t { kNone, kFull, kPrefix } kind = Kind::kNone;
  std::string to;  // of a Path
};
struct Redirect {
  std::string scheme;  // "http", "https", "": as the request's
  Host hostname;       // any: as the request's
  uint16_t port = 0;   // 0: the scheme's, or without a scheme the listener's
  int code = 302;
};
struct Share {
  std::optional<BackendName> backend;  // none: 500, to gRPC's clients 503 (UNAVAILABLE)
  uint32_t weight = 1;
  HeaderChange request, response;  // after the rule's own
};

struct Rule {
  enum class PathMatch : uint8_t { kExact, kExpression, kPrefix };

  uint16_t port = 80;  // a listener's
  bool grpc = false;
  Host host;  // a wildcard is any number of labels here
  PathMatch path_match = PathMatch::kPrefix;
  std::string path;    // of a Path, of a prefix its elements(), or of an Expression
  std::string method;  // "": any
  std::vector<Match> headers, queries;

  HeaderChange request, response;
  std::optional<Cors> cors;
  std::optional<Redirect> redirect;
  Host rewrite_host;
  PathChange path_change;  // of the redirect, or else of the request
  std::vector<Share> shares;
  int64_t timeout_ms = 0;  // 0: the proxy's
};

// A connection of TLS that is passed on as it is, by the server's name that it asks for.
struct TlsRule {
  uint16_t port = 443;
  Host host;
  std::vector<Share> shares;
};

// "GET" ... "PATCH".
bool is_method(std::string_view text);
// The rule's order among those that may match: less is asked first.
bool goes_before(const Rule& a, const Rule& b);
bool goes_before(const TlsRule& a, const TlsRule& b);
// The hosts that both mean; none when there is no such.
std::optional<Host> intersection(const Host& a, const Host& b);

// The part of that port's rules of a frontend of HAProxy's, in the order given: sets txn.to to a
// backend, or answers.
std::string write_rules(const std::vector<Rule>& rules, uint16_t port, bool secure);
// Likewise of a frontend that looks at the first bytes of a connection; txn.sni is the name asked
// for.
std::string write_tls_rules(const std::vector<TlsRule>& rules, uint16_t port);

}  // namespace keles::ingress
