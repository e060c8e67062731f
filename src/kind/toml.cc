#include "kind/toml.h"

#include <algorithm>

namespace keles::kind {
namespace {

constexpr size_t kLongest = 1u << 20;
constexpr size_t kDeepest = 32;

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void blanks() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  // Blanks, ends of lines and comments.
  void nothing() {
    for (;;) {
      blanks();
      if (peek() == '#') {
        while (!done() && peek() != '\n') ++at_;
      } else if (peek() == '\n' || peek() == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }
  bool line_ends() {
    blanks();
    return done() || peek() == '\n' || peek() == '\r' || peek() == '#';
  }
  Status wrong(const std::string& what) const {
    const auto lines = std::count(text_.begin(), text_.begin() + static_cast<long>(at_), '\n');
    return Status::bad_request("line " + std::to_string(lines + 1) + ": " + what);
  }

  // a."b.c".d
  Result<std::vector<std::string>> path() {
    std::vector<std::string> out;
    do {
      blanks();
      TRY_ASSIGN(part, key_part());
      out.push_back(std::move(part));
      if (out.size() > kDeepest) return wrong("too many levels");
      blanks();
    } while (take('.'));
    return out;
  }

  // A value as it is written, without the comment behind it.
  Result<std::string> value() {
    blanks();
    const size_t from = at_;
    size_t end = from;
    int depth = 0;
    while (!done()) {
      const char c = peek();
      if (c == '"' || c == '\'') {
        TRY(skip_string());
        end = at_;
        continue;
      }
      if (c == '#') {
        while (!done() && peek() != '\n') ++at_;
        if (depth > 0) return wrong("a comment inside a value is not understood");
        continue;
      }
      if (c == '\n' && depth == 0) break;
      if (c == '[' || c == '{') ++depth;
      if (c == ']' || c == '}') --depth;
      if (depth < 0) return wrong("a bracket that nothing opens");
      ++at_;
      if (c != ' ' && c != '\t' && c != '\r') end = at_;
    }
    if (depth != 0) return wrong("a bracket that nothing closes");
    if (end == from) return wrong("a key without a value");
    return std::string(text_.substr(from, end - from));
  }

 private:
  Result<std::string> key_part() {
    std::string out;
    const char quote = peek();
    if (quote != '"' && quote != '\'') {
      while (is_bare(peek())) out += text_[at_++];
      if (out.empty()) return wrong("a key is expected");
      return out;
    }
    ++at_;
    while (!done() && peek() != quote && peek() != '\n') {
      char c = text_[at_++];
      if (c == '\\' && quote == '"') {
        c = peek();
        if (c != '"' && c != '\\') return wrong("an escape in a key that is not understood");
        ++at_;
      }
      out += c;
    }
    if (!take(quote)) return wrong("a string without an end");
    return out;
  }

  Status skip_string() {
    const char quote = peek();
    const std::string three(3, quote);
    const bool lines = text_.substr(at_, 3) == three;
    at_ += lines ? 3 : 1;
    while (!done()) {
      if (quote == '"' && peek() == '\\') {
        at_ = std::min(at_ + 2, text_.size());
      } else if (lines && text_.substr(at_, 3) == three) {
        at_ += 3;
        return Status();
      } else if (!lines && peek() == quote) {
        ++at_;
        return Status();
      } else if (!lines && peek() == '\n') {
        break;
      } else {
        ++at_;
      }
    }
    return wrong("a string without an end");
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string quoted(const std::string& part) {
  if (!part.empty() && std::all_of(part.begin(), part.end(), is_bare)) return part;
  std::string out = "\"";
  for (char c : part) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

Result<Toml> Toml::parse(std::string_view text) {
  if (text.size() > kLongest) return Status::bad_request("longer than 1 MiB");
  Toml out;
  Reader in(text);
  Path table;
  for (in.nothing(); !in.done(); in.nothing()) {
    if (in.take('[')) {
      if (in.peek() == '[') return in.wrong("arrays of tables are not understood");
      TRY_ASSIGN(path, in.path());
      if (!in.take(']')) return in.wrong("\"]\" is expected");
      if (!in.line_ends()) return in.wrong("more behind a table's name");
      table = std::move(path);
      out.open(table);
      continue;
    }
    TRY_ASSIGN(path, in.path());
    if (!in.take('=')) return in.wrong("\"=\" is expected");
    TRY_ASSIGN(value, in.value());
    Path where = table;
    where.insert(where.end(), path.begin(), path.end() - 1);
    if (where.size() > kDeepest) return in.wrong("too many levels");
    out.set(where, path.back(), value);
  }
  return out;
}

// A table takes the place of a value of its name, or of one of those above it.
void Toml::open(const Path& table) {
  for (size_t n = 1; n <= table.size(); ++n) {
    auto above = tables_.find(Path(table.begin(), table.begin() + static_cast<long>(n) - 1));
    if (above != tables_.end()) above->second.erase(table[n - 1]);
  }
  tables_[table];
}

void Toml::set(const Path& table, const std::string& key, const std::string& value) {
  open(table);
  Path below = table;
  below.push_back(key);
  // And a value that of a table, with all below it.
  for (auto it = tables_.lower_bound(below); it != tables_.end();) {
    const Path& p = it->first;
    if (p.size() < below.size() || !std::equal(below.begin(), below.end(), p.begin())) break;
    it = tables_.erase(it);
  }
  tables_[table][key] = value;
}

void Toml::merge(const Toml& over) {
  for (const auto& [table, keys] : over.tables_) {
    open(table);
    for (const auto& [key, value] : keys) set(table, key, value);
  }
}

std::string Toml::get(const Path& table, const std::string& key) const {
  auto t = tables_.find(table);
  if (t == tables_.end()) return "";
  auto k = t->second.find(key);
  return k == t->second.end() ? "" : k->second;
}

std::string Toml::text() const {
  std::string out;
  for (const auto& [table, keys] : tables_) {  // the root, which has no name, comes first
    std::string name;
    for (const std::string& part : table) name += (name.empty() ? "" : ".") + quoted(part);
    if (!table.empty()) out += "[" + name + "]\n";
    for (const auto& [key, value] : keys) out += quoted(key) + " = " + value + "\n";
  }
  return out;
}

}  // namespace keles::kind
