// Configuration files: one object of a kind that the description in api/ knows (audit.k8s.io
// Policy, EncryptionConfiguration, ...), in YAML or JSON, read strictly. Unknown fields, keys given
// twice, values of a wrong type, a second document and another kind are errors; fields that nothing
// acts on (`inert` in api/) are warned of. What is wrong is told all at once, each as
//
//   FILE:LINE: FIELD: what
//
// with the line of the field or, when it is not written, of what holds it. A caller that checks
// more reports in the same words by error() and check().
//
// Bounds: 1 MiB; depth, nodes and aliases as codec_yaml.h; at most 20 errors are told. Any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles {

struct ConfigKind {
  std::string_view api_version, kind;  // as described
  // Other versions that have the same fields and may stand in the file.
  std::vector<std::string_view> also = {};
  bool bare = false;  // it says neither, in the file
};

class ConfigFile {
 public:
  // `name` is what errors call the text: a path, or a flag. kBadRequest.
  static Result<ConfigFile> parse(std::string name, std::string text, const ConfigKind& kind);
  // Blocking. Errors of reading name the file, too.
  static Result<ConfigFile> read(const std::string& path, const ConfigKind& kind);

  // The object that stands in one of its fields, which is of type `any`. Its errors are of this
  // file, its fields are named from this one's root.
  Result<ConfigFile> inside(std::string_view field, const Value& object,
                            const ConfigKind& kind) const;

  // With defaults filled in.
  const Value& root() const { return document_.root; }
  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  // The apiVersion that is written in it.
  const std::string& api_version() const { return api_version_; }
  // One for each field that is set and that nothing acts on.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // `field` is a path as FieldPath writes it: "rules[0].level"; "": the file as a whole.
  Status error(std::string_view field, std::string_view what) const;
  // OK when there are none.
  Status check(const FieldErrors& errors) const;

 private:
  ConfigFile() = default;
  std::string where(std::string_view field) const;
  Status decode(const ConfigKind& kind);
  Status decode_root(const ConfigKind& kind);
  std::string name_, text_, api_version_;
  std::string prefix_;  // the field that it stands in
  Document document_;
  std::vector<std::string> warnings_;
};

// The line, from 1, at which each field of a YAML text is written, by its path. Empty when the text
// is no YAML.
std::map<std::string, size_t, std::less<>> yaml_lines(std::string_view text);

// An object of the kind of which nothing is set, with its defaults: a whole file. kNotFound for a
// kind that is not described.
Result<std::string> default_config(const ConfigKind& kind);

}  // namespace keles
