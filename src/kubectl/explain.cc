// explain: a kind and its fields, from the cluster's OpenAPI v3.
#include <algorithm>

#include "kubectl/describe.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

constexpr int kMaxDepth = 64;

std::string wrapped(std::string_view text, size_t width, size_t indent) {
  std::string out, pad(indent, ' ');
  for (;;) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    std::string current;
    while (!line.empty()) {
      size_t blank = line.find(' ');
      std::string_view word = line.substr(0, blank);
      line = blank == line.npos ? std::string_view() : line.substr(blank + 1);
      if (!current.empty() && current.size() + 1 + word.size() > width) {
        out += pad + current + "\n";
        current.clear();
      }
      if (!current.empty()) current += ' ';
      current += word;
    }
    out += pad + current + "\n";
    if (end == text.npos) return out;
    text = text.substr(end + 1);
  }
}

class Explainer {
 public:
  explicit Explainer(const Value& document) : schemas_(document["components"]["schemas"]) {}
  bool recursive = false;

  const Value* find(const Resource& r) const {
    for (const Member& m : schemas_.members()) {
      for (const Value& g : m.value["x-kubernetes-group-version-kind"].items()) {
        if (g["group"].as_string() == r.group && g["version"].as_string() == r.version &&
            g["kind"].as_string() == r.kind) {
          return &m.value;
        }
      }
    }
    return nullptr;
  }

  Result<std::string> explain(const Value& schema, const std::vector<std::string>& path) const {
    std::string out;
    const Value* at = &schema;
    for (size_t i = 0; i < path.size(); ++i) {
      const Value* next = property(*at, path[i], 0);
      if (!next) return failure("field \"" + path[i] + "\" does not exist");
      at = next;
      if (i + 1 < path.size()) continue;
      out += "FIELD: " + path[i] + " <" + type_of(*at, 0) + ">\n" + enums(*at, true, 0) + "\n\n";
    }
    out += "DESCRIPTION:\n";
    std::string text = description(*at, 0);
    out += wrapped(text.empty() ? "<empty>" : text, 76, 4);
    std::string list = fields(*at, 1, {});
    if (!list.empty()) out += "FIELDS:\n" + list;
    return out;
  }

 private:
  const Value& resolve(const Value& s) const {
    std::string_view ref = s["$ref"].as_string();
    size_t slash = ref.rfind('/');
    return slash == ref.npos ? s : schemas_[ref.substr(slash + 1)];
  }
  static bool has_map(const Value& s) { return s["additionalProperties"].is_map(); }

  // The property of a schema, through references, lists, maps and alternatives.
  const Value* property(const Value& schema, const std::string& name, int depth) const {
    if (depth > kMaxDepth) return nullptr;
    const Value& s = resolve(schema);
    if (const Value* found = s["properties"].find(name)) return found;
    if (s["items"].is_map()) return property(s["items"], name, depth + 1);
    if (has_map(s)) return property(s["additionalProperties"], name, depth + 1);
    for (const Value& one : s["allOf"].items()) {
      if (const Value* found = property(one, name, depth + 1)) return found;
    }
    return nullptr;
  }

  std::string description(const Value& schema, int depth) const {
    if (depth > kMaxDepth) return "";
    const Value& s = resolve(schema);
    std::string out = str(s["description"]);
    if (!out.empty()) out += "\n";
    for (const Value& one : s["allOf"].items()) out += description(one, depth + 1);
    if (s["items"].is_map()) out += description(s["items"], depth + 1);
    if (has_map(s)) out += description(s["additionalProperties"], depth + 1);
    return out;
  }

  std::string type_of(const Value& s, int depth) const {
    if (depth > kMaxDepth) return "Object";
    if (s["items"].is_map()) return "[]" + type_of(s["items"], depth + 1);
    if (has_map(s)) return "map[string]" + type_of(s["additionalProperties"], depth + 1);
    if (s["allOf"].size() == 1 && s["properties"].is_null()) {
      return type_of(s["allOf"].at(0), depth + 1);
    }
    std::string_view ref = s["$ref"].as_string();
    if (!ref.empty()) {
      std::string type = str(resolve(s)["type"]);
      if (!type.empty() && type != "object") return type;
      return std::string(ref.substr(ref.find_last_of("./") + 1));
    }
    std::string type = str(s["type"]);
    return type.empty() || type == "object" ? "Object" : type;
  }

  static std::string enums(const Value& s, bool whole, size_t indent) {
    if (s["enum"].empty()) return "";
    std::string out = whole ? "ENUM:" : "\n" + std::string(indent, ' ') + "enum: ";
    size_t i = 0;
    for (const Value& v : s["enum"].items()) {
      if (!whole && i >= 4) {
        out += ", ....";
        break;
      }
      if (whole) {
        out += "\n    ";
      } else if (i > 0) {
        out += ", ";
      }
      ++i;
      std::string text = str(v);
      out += text.empty() ? "\"\"" : text;
    }
    return out;
  }

  std::string fields(const Value& schema, size_t level, std::vector<std::string> seen) const {
    std::string ref(schema["$ref"].as_string());
    if (!ref.empty()) {
      if (std::find(seen.begin(), seen.end(), ref) != seen.end()) return "";
      seen.push_back(ref);
    }
    if (seen.size() > kMaxDepth || level > kMaxDepth) return "";
    const Value& s = resolve(schema);
    std::string out;
    for (const std::string& name : sorted_keys(s["properties"])) {
      const Value& f = s["properties"][name];
      size_t indent = level * 2;
      out += std::string(indent, ' ') + name + "\t<" + type_of(f, 0) + ">";
      for (const Value& r : s["required"].items()) {
        if (r.as_string() == name) out += " -required-";
      }
      out += enums(f, false, indent) + "\n";
      if (recursive) {
        out += fields(f, level + 1, seen);
      } else {
        std::string text = str(f["description"]);
        out += wrapped(text.empty() ? "<no description>" : text, 78 - indent, indent + 2) + "\n";
      }
    }
    for (const Value& one : s["allOf"].items()) out += fields(one, level, seen);
    if (s["items"].is_map()) out += fields(s["items"], level, seen);
    if (has_map(s)) out += fields(s["additionalProperties"], level, seen);
    return out;
  }

  const Value& schemas_;
};

}  // namespace

Status explain(Invocation& in) {
  bool recursive = false;
  std::string api_version;
  in.flags.add("recursive", &recursive,
               "When true, print the name of all the fields recursively. Otherwise, print the "
               "available fields with their description.");
  in.flags.add("api-version", &api_version,
               "Use given api-version (group/version) of the resource.");
  TRY(in.parse());
  if (in.args.empty()) {
    print_error(
        "You must specify the type of resource to explain. Use \"kubectl api-resources\" "
        "for a complete list of supported resources.\n");
    return in.usage("");
  }
  if (in.args.size() > 1) {
    return failure(
        "We accept only this format: explain RESOURCE\nSee 'kubectl explain -h' for "
        "help and examples");
  }
  // "pods.spec.containers", "deployments.apps.spec": as many words as name a type, then fields.
  std::vector<std::string> words;
  for (size_t at = 0; at != std::string::npos;) {
    size_t dot = in.args[0].find('.', at);
    words.push_back(in.args[0].substr(at, dot == std::string::npos ? dot : dot - at));
    at = dot == std::string::npos ? dot : dot + 1;
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  Result<const Resource*> known = mapper->find(words[0]);
  if (!known.ok()) return plain_failure(known.status().message());
  const Resource* resource = *known;
  words.erase(words.begin());
  const Resource* chosen = resource;
  if (!api_version.empty()) {
    chosen = mapper->find_kind(api_version, resource->kind);
    if (!chosen) {
      return failure("couldn't find resource for \"" + api_version + ", Kind=" + resource->kind +
                     "\"");
    }
  }
  std::string path =
      chosen->group.empty() ? "/openapi/v3/api/" : "/openapi/v3/apis/" + chosen->group + "/";
  TRY_ASSIGN(document, session->call(Call("GET", path + chosen->version)));
  Explainer explainer(document.root);
  explainer.recursive = recursive;
  const Value* schema = explainer.find(*chosen);
  if (!schema) {
    return failure("GVK " + chosen->api_version() + ", Kind=" + chosen->kind +
                   " not found in OpenAPI schema");
  }
  std::string out;
  if (!chosen->group.empty()) out += "GROUP:      " + chosen->group + "\n";
  out += "KIND:       " + chosen->kind + "\nVERSION:    " + chosen->version + "\n\n";
  print(out);
  TRY_ASSIGN(text, explainer.explain(*schema, words));
  print(text + "\n");
  return Status();
}

}  // namespace keles::kubectl
