// JSON Patch (RFC 6902) as upstream takes it, in its words: indices may be negative, `-` is only
// for add, `replace` makes an absent member and `copy` of one copies null, and no operation has the
// whole document for its place but `replace` and `test`.
#include <charconv>
#include <optional>

#include "machinery/codec_json.h"
#include "machinery/patch.h"

namespace keles {
namespace {

constexpr size_t kMaxOperations = 10'000;
constexpr size_t kMaxCopiedBytes = 3u << 20;

Status wrong(std::string what) { return Status(Reason::kInvalid, std::move(what)); }
constexpr std::string_view kMissing = ": missing value";

size_t text_size(const Value& v) { return to_json(v).size(); }

std::string decode_key(std::string_view part) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1')) {
      out.push_back(part[++i] == '0' ? '~' : '/');
    } else {
      out.push_back(part[i]);
    }
  }
  return out;
}

// The place that a path names: the list or map, and the key in it.
struct Place {
  Value* container = nullptr;
  std::string key;
};

std::string invalid_index(int64_t i) {
  return "Unable to access invalid index: " + std::to_string(i) + ": invalid index referenced";
}

// An index into a list of `size`, negative ones counting from the end; or what is wrong with it.
std::optional<size_t> index_of(std::string_view key, size_t size, std::string* error) {
  int64_t i = 0;
  std::string_view digits = key;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), i);
  const bool number = !digits.empty() && end == digits.data() + digits.size() &&
                      !(digits.size() < key.size() && digits.starts_with('-'));
  if (!number || ec != std::errc()) {
    *error = "strconv.Atoi: parsing \"" + std::string(key) +
             "\": " + (number ? "value out of range" : "invalid syntax");
    return std::nullopt;
  }
  auto n = static_cast<int64_t>(size);
  if (i >= n || i < -n) {
    *error = invalid_index(i);
    return std::nullopt;
  }
  return static_cast<size_t>(i < 0 ? i + n : i);
}

class Patcher {
 public:
  explicit Patcher(Document* doc) : doc_(doc) {}

  Status apply(const Value& op) {
    if (!op.is_map() && !op.is_null()) return wrong("a JSON patch operation must be an object");
    std::string_view kind = op["op"].as_string();
    if (kind == "add") return add(op);
    if (kind == "remove") return remove(op);
    if (kind == "replace") return replace(op);
    if (kind == "move") return move(op);
    if (kind == "copy") return copy(op);
    if (kind == "test") return test(op);
    return wrong("Unexpected kind: " + std::string(kind.empty() ? "unknown" : kind));
  }

 private:
  Arena& arena() { return doc_->arena; }

  static const Value* path_of(const Value& op, std::string_view field = "path") {
    const Value* p = op.find(field);
    return p && p->is_string() ? p : nullptr;
  }

  // Why there is no such path.
  static std::string no_path(const Value& op, std::string_view field = "path") {
    const Value* p = op.find(field);
    if (p && !p->is_null()) {
      const char* what = p->is_list()   ? "array"
                         : p->is_map()  ? "object"
                         : p->is_bool() ? "bool"
                                        : "number";
      return "json: cannot unmarshal " + std::string(what) + " into Go value of type string";
    }
    return field == "from" ? "operation, missing from field" + std::string(kMissing)
                           : "operation missing path field" + std::string(kMissing);
  }

  Place find(std::string_view path) {
    if (path.empty() || path[0] != '/') return {};
    path.remove_prefix(1);
    Value* at = &doc_->root;
    while (true) {
      size_t slash = path.find('/');
      std::string key = decode_key(path.substr(0, slash));
      if (!at->is_map() && !at->is_list()) return {};
      if (slash == std::string_view::npos) return {at, std::move(key)};
      std::string ignored;
      at = get({at, std::move(key)}, &ignored);
      if (!at) return {};
      path.remove_prefix(slash + 1);
    }
  }

  // What is there; null with an error for no place in a list, without one for an absent member.
  static Value* get(const Place& p, std::string* error) {
    if (p.container->is_map()) return p.container->find(p.key);
    auto i = index_of(p.key, p.container->size(), error);
    return i ? &p.container->items()[*i] : nullptr;
  }

  bool add_at(const Place& p, Value v, std::string* error) {
    if (p.container->is_map()) {
      if (Value* old = p.container->find(p.key)) {
        *old = v;
      } else {
        p.container->set(arena(), arena().copy(p.key), v);
      }
      return true;
    }
    size_t n = p.container->size();
    size_t at = n;
    if (p.key != "-") {
      auto i = index_of(p.key, n + 1, error);
      if (!i && error->starts_with("strconv")) {
        error->insert(0, "value was not a proper array index: '" + p.key + "': ");
      }
      if (!i) return false;
      at = *i;
    }
    p.container->append(arena(), Value());
    auto items = p.container->items();
    for (size_t j = n; j > at; --j) items[j] = items[j - 1];
    items[at] = v;
    return true;
  }

  static bool remove_at(const Place& p, std::string* error) {
    if (p.container->is_map()) {
      if (p.container->erase(p.key)) return true;
      *error = "Unable to remove nonexistent key: " + p.key + std::string(kMissing);
      return false;
    }
    auto i = index_of(p.key, p.container->size(), error);
    if (i) p.container->erase_at(*i);
    return i.has_value();
  }

  Value value_of(const Value& op) { return deep_copy(arena(), op["value"]); }

  Status add(const Value& op) {
    const Value* path = path_of(op);
    if (!path) return wrong("add operation failed to decode path" + std::string(kMissing));
    std::string text(path->as_string()), error;
    Place p = find(text);
    if (!p.container) {
      return wrong("add operation does not apply: doc is missing path: \"" + text + "\"" +
                   std::string(kMissing));
    }
    if (!add_at(p, value_of(op), &error)) {
      return wrong("error in add for path: '" + text + "': " + error);
    }
    return {};
  }

  Status remove(const Value& op) {
    const Value* path = path_of(op);
    if (!path) return wrong("remove operation failed to decode path" + std::string(kMissing));
    std::string text(path->as_string()), error;
    Place p = find(text);
    if (!p.container) {
      return wrong("remove operation does not apply: doc is missing path: \"" + text + "\"" +
                   std::string(kMissing));
    }
    if (!remove_at(p, &error)) {
      return wrong("error in remove for path: '" + text + "': " + error);
    }
    return {};
  }

  Status replace(const Value& op) {
    const Value* path = path_of(op);
    if (!path) return wrong("replace operation failed to decode path: " + no_path(op));
    std::string text(path->as_string()), error;
    if (text.empty()) {
      Value v = value_of(op);
      if (!v.is_map() && !v.is_list()) {
        return wrong("replace operation value must be object or array: %!w(<nil>)");
      }
      doc_->root = v;
      return {};
    }
    Place p = find(text);
    if (!p.container) {
      return wrong("replace operation does not apply: doc is missing path: " + text +
                   std::string(kMissing));
    }
    // An absent member is made: so do the servers that people's patches were written for, though
    // the RFC would have it fail.
    Value* slot = get(p, &error);
    if (!slot && !error.empty()) {
      return wrong("replace operation does not apply: doc is missing key: " + text +
                   std::string(kMissing));
    }
    if (slot) {
      *slot = value_of(op);
    } else {
      p.container->set(arena(), arena().copy(p.key), value_of(op));
    }
    return {};
  }

  Status move(const Value& op) {
    const Value *from = path_of(op, "from"), *path = path_of(op);
    if (!from) return wrong("move operation failed to decode from: " + no_path(op, "from"));
    std::string from_text(from->as_string()), error;
    Place p = find(from_text);
    if (!p.container) {
      return wrong("move operation does not apply: doc is missing from path: " + from_text +
                   std::string(kMissing));
    }
    Value* found = get(p, &error);
    Value v = found ? *found : Value();
    if (!error.empty() || !remove_at(p, &error)) {
      return wrong("error in move for path: '" + p.key + "': " + error);
    }
    if (!path) return wrong("move operation failed to decode path: " + no_path(op));
    std::string text(path->as_string());
    p = find(text);  // not inside what was moved: that has gone
    if (!p.container) {
      return wrong("move operation does not apply: doc is missing destination path: " + text +
                   std::string(kMissing));
    }
    if (!add_at(p, v, &error)) return wrong("error in move for path: '" + text + "': " + error);
    return {};
  }

  Status copy(const Value& op) {
    const Value *from = path_of(op, "from"), *path = path_of(op);
    if (!from) return wrong("copy operation failed to decode from: " + no_path(op, "from"));
    std::string from_text(from->as_string()), error;
    Place p = find(from_text);
    if (!p.container) {
      return wrong("copy operation does not apply: doc is missing from path: " + from_text +
                   std::string(kMissing));
    }
    Value* found = get(p, &error);
    if (!error.empty()) return wrong("error in copy for from: '" + from_text + "': " + error);
    if (!path) return wrong("copy operation failed to decode path" + std::string(kMissing));
    Value v = found ? deep_copy(arena(), *found) : Value();
    std::string text(path->as_string());
    p = find(text);
    if (!p.container) {
      return wrong("copy operation does not apply: doc is missing destination path: " + text +
                   std::string(kMissing));
    }
    copied_ += found ? text_size(v) : 0;
    if (copied_ > kMaxCopiedBytes) {
      return wrong("Unable to complete the copy, the accumulated size increase of copy is " +
                   std::to_string(copied_) + ", exceeding the limit " +
                   std::to_string(kMaxCopiedBytes));
    }
    if (!add_at(p, v, &error)) return wrong("error while adding value during copy: " + error);
    return {};
  }

  Status test(const Value& op) {
    const Value* path = path_of(op);
    if (!path) return wrong("test operation failed to decode path: " + no_path(op));
    std::string text(path->as_string()), error;
    Status failed = wrong("testing value " + text + " failed: test failed");
    if (text.empty()) return doc_->root.equals(op["value"]) ? Status() : failed;
    Place p = find(text);
    if (!p.container) {
      return wrong("test operation does not apply: is missing path: " + text +
                   std::string(kMissing));
    }
    Value* found = get(p, &error);
    if (!error.empty()) {
      return wrong("error in test for path: '" + text + "': " + error);
    }
    // An absent member equals null.
    const Value& have = found ? *found : Value::null();
    return have.equals(op["value"]) ? Status() : failed;
  }

  Document* doc_;
  size_t copied_ = 0;
};

}  // namespace

Result<Document> apply_json_patch(const Value& original, const Value& patch) {
  if (!patch.is_list()) {
    return Status::bad_request("error decoding patch: a JSON patch must be an array of operations");
  }
  if (patch.size() > kMaxOperations) {
    return Status(Reason::kRequestEntityTooLarge,
                  "Request entity too large: The allowed maximum operations in a JSON patch is " +
                      std::to_string(kMaxOperations) + ", got " + std::to_string(patch.size()));
  }
  Document doc;
  doc.root = deep_copy(doc.arena, original);
  Patcher patcher(&doc);
  for (const Value& op : patch.items()) TRY(patcher.apply(op));
  return doc;
}

}  // namespace keles
