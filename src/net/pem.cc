#include "net/pem.h"

#include <string>

namespace keles::net {
namespace {

constexpr size_t kMostBlocks = 1000;
constexpr std::string_view kBegin = "-----BEGIN ", kEnd = "-----END ", kDashes = "-----";

}  // namespace

std::vector<PemBlock> pem_blocks(std::string_view text) {
  std::vector<PemBlock> out;
  for (size_t at = 0; out.size() < kMostBlocks && (at = text.find(kBegin, at)) != text.npos;) {
    const size_t label = at + kBegin.size(), data = text.find(kDashes, label);
    if (data == text.npos) break;
    PemBlock block{text.substr(label, data - label), {}, false};
    const size_t next = text.find(kBegin, data);
    std::string last(kEnd);
    last.append(block.label).append(kDashes);
    const size_t end = text.substr(0, next).find(last, data);
    if (end != text.npos) {
      block.text = text.substr(at, end + last.size() - at);
      block.headers = text.substr(data, end - data).find(':') != text.npos;
      out.push_back(block);
    }
    at = end != text.npos ? end + last.size() : next;
    if (at == text.npos) break;
  }
  return out;
}

}  // namespace keles::net
