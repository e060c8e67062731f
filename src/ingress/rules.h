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

// As one word of HAProxy's configuration, whatever is in it; as one that is a format, in which
// nothing is a variable.
std::string quoted(std::string_view text);
std::string quoted_format(std::string_view text);

struct NameValue {
  Token name;
  Text value;
};
struct HeaderChange {
  std::vector<NameValue> set, add;
  std::vector<Token> remove;
};
struct PathChange {
  enum class Kind : uint8_t { kNone, kFull, kPrefix } kind = Kind::kNone;
  std::string to;  // of a Path
};
struct Redirect {
  std::string scheme;  // "http", "https", "": as the request's
  Host hostname;       // any: as the request's
  uint16_t port = 0;   // 0: the scheme's
  int code = 302;
};
struct Share {
  std::optional<BackendName> backend;  // none: 500
  uint32_t weight = 1;
};

struct Rule {
  bool secure = false;  // of the port for HTTPS
  Host host;            // a wildcard is any number of labels here
  bool exact = false;   // the path; else a prefix by elements
  std::string path;     // of a Path; of a prefix its elements()
  std::string method;   // "": any
  std::vector<NameValue> headers, queries;

  HeaderChange request, response;
  std::optional<Redirect> redirect;
  Host rewrite_host;
  PathChange path_change;  // of the redirect, or else of the request
  std::vector<Share> shares;
  int64_t timeout_ms = 0;  // 0: the proxy's
};

// "GET" ... "PATCH".
bool is_method(std::string_view text);
// The rule's order among those that may match: less is asked first.
bool goes_before(const Rule& a, const Rule& b);
// The hosts that both mean; none when there is no such.
std::optional<Host> intersection(const Host& a, const Host& b);

// Their part of a frontend of HAProxy's, in the order given: sets txn.to to a backend, or answers.
std::string write_rules(const std::vector<Rule>& rules, bool secure);

}  // namespace keles::ingress
