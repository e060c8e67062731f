// Files in which the managers keep what they gave to whom, in upstream's formats: JSON with a
// checksum of what Go's printer makes of the structure (pkg/kubelet/checkpointmanager), so that
// either can go on where the other stopped. Blocking: small local files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::node {

inline constexpr size_t kMostCheckpoint = 64u << 20;

// CRC-32 of IEEE 802.3.
uint32_t crc32_ieee(std::string_view text);

// kNotFound when there is none; Go's text when it is no JSON.
Result<Document> read_checkpoint(const std::string& path);
// A member by Go's rules: of this name, in whatever case.
const Value& member(const Value& object, std::string_view name);
// "checkpoint is corrupted" when they differ.
Status verify_checksum(const Value& checkpoint, uint32_t actual, bool zero_is_fine);

}  // namespace keles::node
