#include "kubectl/environment.h"

#include <algorithm>
#include <cmath>
#include <istream>

#include "base/encoding.h"
#include "kubectl/errors.h"
#include "kubectl/write.h"
#include "machinery/quantity.h"
#include "machinery/validation.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxLine = 1u << 20;

const EnvVar* find_variable(const std::vector<EnvVar>& all, std::string_view name) {
  auto it = std::find_if(all.begin(), all.end(), [&](const EnvVar& e) { return e.name == name; });
  return it == all.end() ? nullptr : &*it;
}

// "a=b # note", line by line; lines without "=" are no variables.
Status read_variables(std::istream& input, std::vector<EnvVar>* out) {
  for (std::string line; std::getline(input, line);) {
    if (line.size() > kMaxLine) return failure("a line of more than 1 MiB on standard input");
    if (line.ends_with('\r')) line.pop_back();
    std::string_view shown = std::string_view(line).substr(0, line.find('#'));
    const size_t eq = shown.find('=');
    if (eq == shown.npos) continue;
    EnvVar e;
    e.name = shown.substr(0, eq);
    e.value = shown.substr(eq + 1);
    out->push_back(std::move(e));
  }
  return Status();
}

std::string joined(const Messages& messages) {
  std::string out;
  for (const auto& m : messages) out += (out.empty() ? "" : ";") + std::string(m);
  return out;
}

// A client's own names; the API takes more of them.
Messages check_name(std::string_view name) {
  Messages out;
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
  };
  const bool right = !name.empty() && fits(name[0]) &&
                     std::all_of(name.begin(), name.end(),
                                 [&](char c) { return fits(c) || (c >= '0' && c <= '9'); });
  if (!right) {
    out.push_back(
        "a valid environment variable name must consist of alphabetic characters, digits, '_', "
        "'-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or "
        "'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')");
  }
  if (name == ".") out.push_back("must not be '.'");
  if (name == "..") {
    out.push_back("must not be '..'");
  } else if (name.starts_with("..")) {
    out.push_back("must not start with '..'");
  }
  return out;
}

Value value_of(Document& d, const EnvVar& e) {
  Value v = Value::map();
  v.set(d.arena, "name", text(d, e.name));
  if (e.key.empty()) {
    if (!e.value.empty()) v.set(d.arena, "value", text(d, e.value));
    return v;
  }
  Value& from = v.set(d.arena, "valueFrom", Value::map());
  Value& ref =
      from.set(d.arena, e.from_kind == "Secret" ? "secretKeyRef" : "configMapKeyRef", Value::map());
  ref.set(d.arena, "name", text(d, e.from_name));
  ref.set(d.arena, "key", text(d, e.key));
  return v;
}

// "metadata.labels['app']" -> "metadata.labels", "app"
bool split_subscript(std::string_view path, std::string_view* field, std::string_view* key) {
  if (!path.ends_with("']")) return false;
  const std::string_view inner = path.substr(0, path.size() - 2);
  const size_t open = inner.find("['");
  if (open == inner.npos || open == 0) return false;
  *field = inner.substr(0, open);
  *key = inner.substr(open + 2);
  return true;
}

// As downward API files have it.
std::string map_text(const Value& map) {
  std::vector<std::string> lines;
  for (const Member& m : map.members()) {
    lines.push_back(std::string(m.key()) + "=" + quoted(m.value.as_string()));
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& l : lines) out += (out.empty() ? "" : "\n") + l;
  return out;
}

}  // namespace

bool split_environment(const Args& args, Args* resources, Args* changes) {
  for (const std::string& a : args) {
    const size_t eq = a.find('=', 1);
    const bool change = (!a.empty() && eq != a.npos) || a.ends_with('-');
    if (change) {
      changes->push_back(a);
    } else if (changes->empty()) {
      resources->push_back(a);
    } else {
      return false;
    }
  }
  return true;
}

Result<EnvChanges> parse_environment(const Args& words, std::istream& input) {
  EnvChanges out;
  std::vector<std::string> named;
  for (const std::string& w : words) {
    const size_t eq = w.find('=');
    if (w == "-") {
      TRY(read_variables(input, &out.set));
      out.from_stdin = true;
    } else if (eq != w.npos) {
      EnvVar e;
      e.name = w.substr(0, eq);
      e.value = w.substr(eq + 1);
      if (const Messages wrong = check_name(e.name); !wrong.empty()) {
        return failure("\"" + e.name + "\" is not a valid key name: " + joined(wrong));
      }
      named.push_back(e.name);
      out.set.push_back(std::move(e));
    } else if (w.ends_with('-')) {
      out.removed.push_back(w.substr(0, w.size() - 1));
    } else {
      return failure("unknown environment variable: " + w);
    }
  }
  for (const std::string& r : out.removed) {
    if (std::find(named.begin(), named.end(), r) == named.end()) continue;
    return failure(
        "can not both modify and remove the same environment variable in the same command");
  }
  return out;
}

std::string env_name_of(std::string_view key) {
  std::string out;
  for (char c : key) {
    const bool fits =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    out += !fits ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  return out;
}

Value changed_environment(Document& d, const Value& now, const EnvChanges& changes) {
  std::vector<std::string> covered = changes.removed;
  const auto is_covered = [&covered](std::string_view name) {
    return std::find(covered.begin(), covered.end(), name) != covered.end();
  };
  Value out = Value::list();
  for (const Value& e : now.items()) {
    const std::string name(e["name"].as_string());
    if (is_covered(name)) continue;
    const EnvVar* newer = find_variable(changes.set, name);
    if (newer) covered.push_back(name);
    out.append(d.arena, newer ? value_of(d, *newer) : deep_copy(d.arena, e));
  }
  for (const EnvVar& e : changes.set) {
    if (is_covered(e.name)) continue;
    covered.push_back(e.name);
    out.append(d.arena, value_of(d, e));
  }
  return out;
}

Status check_no_overwrites(const Value& now, const EnvChanges& changes) {
  for (const EnvVar& e : changes.set) {
    for (const Value& old : now.items()) {
      if (old["name"].as_string() != e.name) continue;
      if (old["value"].as_string() == e.value) break;
      return failure("'" + e.name + "' already has a value (" +
                     std::string(old["value"].as_string()) + "), and --overwrite is false");
    }
  }
  return Status();
}

std::string reference_text(const Value& from) {
  const auto of = [](const Value& v) { return std::string(v.as_string()); };
  if (const Value* r = from.find("configMapKeyRef")) {
    return "configmap " + of((*r)["name"]) + ", key " + of((*r)["key"]);
  }
  if (const Value* r = from.find("secretKeyRef")) {
    return "secret " + of((*r)["name"]) + ", key " + of((*r)["key"]);
  }
  if (const Value* r = from.find("fieldRef")) return "field path " + of((*r)["fieldPath"]);
  if (const Value* r = from.find("resourceFieldRef")) {
    std::string container = of((*r)["containerName"]);
    if (!container.empty()) container += "/";
    return "resource field " + container + of((*r)["resource"]);
  }
  return "invalid valueFrom";
}

Result<std::string> field_value(const Value& object, std::string_view path) {
  const Value& meta = object["metadata"];
  std::string_view field, key;
  if (split_subscript(path, &field, &key)) {
    if (field != "metadata.annotations" && field != "metadata.labels") {
      return failure("fieldPath \"" + std::string(path) + "\" does not support subscript");
    }
    std::string checked(key);
    if (field == "metadata.annotations") {
      for (char& c : checked) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    if (const Messages wrong = check_qualified_name(checked); !wrong.empty()) {
      return failure("invalid key subscript in " + std::string(path) + ": " + joined(wrong));
    }
    return std::string(meta[field.substr(9)][key].as_string());
  }
  for (const char* map : {"annotations", "labels"}) {
    if (path == "metadata." + std::string(map)) return map_text(meta[map]);
  }
  for (const char* text : {"name", "namespace", "uid"}) {
    if (path == "metadata." + std::string(text)) return std::string(meta[text].as_string());
  }
  return failure("unsupported fieldPath: " + std::string(path));
}

Result<std::string> resource_value(const Value& reference, const Value& container) {
  const std::string_view resource = reference["resource"].as_string();
  const size_t dot = resource.find('.');
  const std::string_view list = resource.substr(0, dot);
  const std::string_view name = dot == resource.npos ? "" : resource.substr(dot + 1);
  const bool known = name == "cpu" || name == "memory" || name == "ephemeral-storage" ||
                     name.starts_with("hugepages-");
  if (!known || (list != "limits" && list != "requests")) {
    return failure("Unsupported container resource : " + std::string(resource));
  }
  Quantity divisor = Quantity::parse_or_zero(reference["divisor"].as_string());
  if (divisor.is_zero()) divisor = Quantity::from_int(1);
  const Quantity has = Quantity::parse_or_zero(container["resources"][list][name].as_string());
  const auto in_unit = [&](const Quantity& q) {
    return static_cast<double>(name == "cpu" ? q.milli_value() : q.value());
  };
  return std::to_string(static_cast<int64_t>(std::ceil(in_unit(has) / in_unit(divisor))));
}

}  // namespace keles::kubectl
