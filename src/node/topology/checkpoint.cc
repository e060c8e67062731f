#include "node/topology/checkpoint.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>

#include "base/file.h"
#include "machinery/codec_json.h"

namespace keles::node {

uint32_t crc32_ieee(std::string_view text) {
  return static_cast<uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

Result<Document> read_checkpoint(const std::string& path) {
  TRY_ASSIGN(text, read_file(path, kMostCheckpoint));
  auto tree = parse_json(text);
  if (!tree.ok()) return tree.status();
  if (!tree->root.is_map())
    return Status(Reason::kInvalid, "json: cannot unmarshal what is no object into a checkpoint");
  return tree;
}

const Value& member(const Value& object, std::string_view name) {
  static const Value kNone;
  if (const Value* found = object.find(name)) return *found;
  for (const Member& m : object.members()) {
    const std::string_view key = m.key();
    const bool same = key.size() == name.size() &&
                      std::equal(key.begin(), key.end(), name.begin(), [](char a, char b) {
                        return std::tolower(static_cast<unsigned char>(a)) ==
                               std::tolower(static_cast<unsigned char>(b));
                      });
    if (same) return m.value;
  }
  return kNone;
}

Status verify_checksum(const Value& checkpoint, uint32_t actual, bool zero_is_fine) {
  const Value& said = member(checkpoint, "checksum");
  const int64_t sum = said.is_int() ? said.as_int() : 0;
  if (sum == 0 && zero_is_fine) return {};
  if (sum == static_cast<int64_t>(actual)) return {};
  return Status(Reason::kInvalid, "checkpoint is corrupted");
}

}  // namespace keles::node
