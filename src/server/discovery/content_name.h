// A name for a document's content, for ETags and hashes in paths: 32 hexadecimal digits. Pure.
#pragma once

#include <string>
#include <string_view>

namespace keles::server {

std::string content_name(std::string_view bytes);
// The same in quotes.
inline std::string etag_of(std::string_view bytes) { return '"' + content_name(bytes) + '"'; }

}  // namespace keles::server
