// Golden texts: what a filled value of each type is in JSON and in protobuf, as lines that a diff
// shows well. For tests.
//
// A file holds the types of one group and version, three lines each:
//
//   core.v1.HTTPHeader
//   {"name":"nameValue","value":"valueValue"}
//   \x0a\x09nameValue\x12\x0avalueValue
//
// The third line has protobuf's bytes: printable ones as they are, others as \xNN. A message within
// is written once, where its own type stands, and is named elsewhere: <core.v1.HTTPHeader> is its
// JSON, and in protobuf its length and bytes.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/schema.h"

namespace keles {

class Golden {
 public:
  struct Texts {
    std::string json, protobuf;
  };
  // Adds a file's types; what they name may stand in a file that is read later.
  Status read(std::string_view file);
  // Of a type, with all that it names put in. None: it is not there, or names what is not.
  std::optional<Texts> of(const TypeDesc& type) const;
  std::optional<Texts> of(const std::string& name) const;  // as the files have it
  size_t size() const { return lines_.size(); }

  // The files for these types, by name, from filled() and the codecs.
  static std::map<std::string, std::string> write(std::span<const TypeDesc* const> types);

 private:
  std::optional<std::string> expand(const std::string& name, bool json, int depth) const;
  std::map<std::string, Texts> lines_;  // as they stand in the files
};

// Bytes as text: printable ones as they are (`\` and `<` behind a `\`), others as \xNN.
std::string escaped(std::string_view bytes);

}  // namespace keles
