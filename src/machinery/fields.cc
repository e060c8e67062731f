#include "machinery/fields.h"

#include <algorithm>

#include "machinery/dotted_path.h"

namespace keles {
namespace {

constexpr size_t kMaxText = 64 * 1024;

Result<std::string> unescape(std::string_view s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    char c = s[i];
    if (c == '\\') {
      std::string_view next = s.substr(i + 1, 1);
      if (next != "\\" && next != "," && next != "=") {
        return Status::bad_request("invalid field selector: invalid escape sequence: \\" +
                                   std::string(next));
      }
      out.push_back(next[0]);
      ++i;
    } else if (c == ',' || c == '=') {
      return Status::bad_request("invalid field selector: unescaped character in value: " +
                                 std::string(1, c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string escape(std::string_view s) {
  std::string out;
  for (char c : s) {
    if (c == '\\' || c == ',' || c == '=') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::vector<std::string_view> split_terms(std::string_view s) {
  std::vector<std::string_view> out;
  size_t start = 0;
  for (size_t i = 0; i <= s.size(); ++i) {
    if (i < s.size() && s[i] == '\\') {
      ++i;
    } else if (i >= s.size() || s[i] == ',') {
      out.push_back(s.substr(start, std::min(i, s.size()) - start));
      start = std::min(i, s.size()) + 1;
      if (i >= s.size()) break;
    }
  }
  if (start < s.size()) out.push_back(s.substr(start));
  return out;
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  if (text.size() > kMaxText) {
    return Status::bad_request("invalid selector: it is longer than 65536 bytes");
  }
  FieldSelector out;
  for (std::string_view part : split_terms(text)) {
    if (part.empty()) continue;
    Term term;
    size_t at = 0, width = 0;
    for (; at < part.size() && width == 0; ++at) {
      std::string_view two = part.substr(at, 2);
      if (two == "!=" || two == "==") {
        width = 2;
      } else if (part[at] == '=') {
        width = 1;
      }
      if (width != 0) break;
    }
    if (width == 0) {
      return Status::bad_request("invalid selector: '" + std::string(text) +
                                 "'; can't understand '" + std::string(part) + "'");
    }
    term.equal = part[at] != '!';
    term.path = part.substr(0, at);
    TRY_ASSIGN(value, unescape(part.substr(at + width)));
    term.value = value;
    out.terms_.push_back(std::move(term));
  }
  return out;
}

Status FieldSelector::validate(const KindDesc& kind) const {
  for (const Term& t : terms_) {
    const bool everywhere = !kind.owner || kind.namespaced;
    if (t.path == "metadata.name" || (t.path == "metadata.namespace" && everywhere)) continue;
    if (std::find(kind.selectable_fields.begin(), kind.selectable_fields.end(), t.path) !=
        kind.selectable_fields.end()) {
      continue;
    }
    if (kind.selectable_fields.empty() && !kind.owner) {
      return Status::bad_request("\"" + t.path +
                                 "\" is not a known field selector: only \"metadata.name\", "
                                 "\"metadata.namespace\"");
    }
    return Status::bad_request("field label not supported: " + t.path);
  }
  return {};
}

std::string selectable_text(const KindDesc& kind, const Value& object, std::string_view path) {
  const Value* v = &value_at(object, path);
  switch (v->kind()) {
    case Value::Kind::kString:
      return std::string(v->as_string());
    case Value::Kind::kBool:
      return v->as_bool() ? "true" : "false";
    case Value::Kind::kInt:
      return std::to_string(v->as_int());
    default:
      break;
  }
  if (kind.owner) return {};
  const FieldDesc* f = field_at(*kind.type, path);
  if (!f || f->cardinality != Cardinality::kSingle) return {};
  switch (f->type) {
    case FieldType::kBool:
      return "false";
    case FieldType::kInt32:
    case FieldType::kInt64:
      return "0";
    default:
      return {};
  }
}

bool FieldSelector::matches(const KindDesc& kind, const Value& object, Reader read) const {
  for (const Term& t : terms_) {
    std::string v = read && t.path != "metadata.name" && t.path != "metadata.namespace"
                        ? read(object, t.path)
                        : selectable_text(kind, object, t.path);
    if ((v == t.value) != t.equal) return false;
  }
  return true;
}

const std::string* FieldSelector::exact(std::string_view path) const {
  for (const Term& t : terms_) {
    if (t.equal && t.path == path) return &t.value;
  }
  return nullptr;
}

std::string FieldSelector::to_string() const {
  std::string s;
  for (const Term& t : terms_) {
    s += (s.empty() ? "" : ",") + t.path + (t.equal ? "=" : "!=") + escape(t.value);
  }
  return s;
}

}  // namespace keles
