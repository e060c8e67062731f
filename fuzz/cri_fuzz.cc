// Arbitrary bytes into the decoders of the runtime's answers and of container logs.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "node/cri/codec.h"
#include "node/logs/cri_log.h"
#include "seeds.h"

namespace {
template <class T, class Read>
void decode(std::string_view in, Read read) {
  auto message = keles::node::cri::receive(T::descriptor(), std::string(in));
  if (message.ok()) read(T((*message)->root));
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  std::string_view in(reinterpret_cast<const char*>(data), size);
  decode<cri::v1::StatusResponse>(in, [](const auto& m) { (void)cri::read(m); });
  decode<cri::v1::PodSandboxStatusResponse>(in, [](const auto& m) { (void)cri::read(m.status()); });
  decode<cri::v1::ContainerStatusResponse>(in, [](const auto& m) { (void)cri::read(m.status()); });
  decode<cri::v1::ListContainersResponse>(in, [](const auto& m) {
    for (const auto& c : m.containers()) (void)cri::read(c);
  });
  decode<cri::v1::ListContainerStatsResponse>(in, [](const auto& m) {
    for (const auto& s : m.stats()) (void)cri::read(s);
  });
  decode<cri::v1::ListImagesResponse>(in, [](const auto& m) {
    for (const auto& i : m.images()) (void)cri::read(i);
  });
  (void)cri::decode_event(in);
  (void)parse_log_entry(in);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"\x0a\x04\x0a\x02id", "2026-01-02T03:04:05.123456789Z stdout F x"};
}
