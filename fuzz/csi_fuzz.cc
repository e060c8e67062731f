// Arbitrary bytes as what lies on a node's disk of a volume, as a driver's answer, and as a
// question to our own driver: read within bounds or refused; nothing leads out of the driver's
// directory.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "csi/local_volumes.h"
#include "machinery/codec_protobuf.h"
#include "node/csi/volume_data.h"
#include "node/plugins/csi/messages.h"
#include "seeds.h"

namespace {

using namespace keles;

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string in(reinterpret_cast<const char*>(data), size);
  if (auto read = node::parse_volume_data(in); read.ok()) {
    check(read->size() <= 64);
    auto driver = read->find("driverName");
    if (driver != read->end()) check(driver->second.find('/') == std::string::npos);
  }
  const std::string id = csi::local_id(in);
  check(!id.empty() && id.size() <= 128 && id.front() != '.');
  check(id.find('/') == std::string::npos && csi::local_id(id) == id);
  if (auto doc = decode_protobuf(csi::v1::NodeGetInfoResponse::descriptor(), in); doc.ok()) {
    const csi::v1::NodeGetInfoResponse info(doc->root);
    (void)csi::map_of(info.accessible_topology().segments());
  }
  if (auto doc = decode_protobuf(csi::v1::CreateVolumeResponse::descriptor(), in); doc.ok()) {
    const csi::v1::CreateVolumeResponse r(doc->root);
    for (auto t : r.volume().accessible_topology()) (void)csi::map_of(t.segments());
  }
  for (Reason r : {Reason::kUnavailable, Reason::kBadRequest}) {
    const Status s(r, "rpc error: code = " + in);
    check(!(csi::is_infeasible(s) && !csi::is_final(s)));
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {R"({"driverName":"d.io","volumeHandle":"h"})", "pvc-1", "../..",
          "\x0a\x04"
          "node\x1a\x08\x0a\x06\x0a\x01k\x12\x01v",
          "Aborted desc = x"};
}
