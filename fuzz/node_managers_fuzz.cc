// Arbitrary bytes as what the node's managers find in their files, in specifications of devices and
// in what plug-ins answer: read within bounds or refused, and what was read is written the same.
#include <cstdint>
#include <cstdlib>

#include "node/cpu_manager/cpu_state.h"
#include "node/devices/device_book.h"
#include "node/dra/cdi.h"
#include "node/dra/claim_book.h"
#include "node/managers/node_managers.h"
#include "node/memory_manager/memory_state.h"
#include "seeds.h"

using namespace keles::node;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string in(reinterpret_cast<const char*>(data), size);
  if (auto set = CpuSet::parse(in); set.ok()) {
    auto again = CpuSet::parse(set->to_string());
    if (!again.ok() || !(*again == *set)) std::abort();
  }
  if (auto cpus = CpuState::parse(in, "static"); cpus.ok())
    if (!CpuState::parse(cpus->text(), "static").ok()) std::abort();
  if (auto memory = MemoryState::parse(in, "Static"); memory.ok())
    if (!MemoryState::parse(memory->text(), "Static").ok()) std::abort();
  if (auto devices = DeviceBook::parse(in); devices.ok())
    if (!DeviceBook::parse(devices->text()).ok()) std::abort();
  if (auto claims = ClaimBook::parse(in); claims.ok())
    if (!ClaimBook::parse(claims->text()).ok()) std::abort();
  (void)read_grant(in).ok();
  ContainerExtras extras;
  (void)inject_cdi_specs({in}, {"example.com/gizmo=a"}, &extras).ok();
  ReservedMemory reserved;
  (void)parse_reserved_memory(in, &reserved).ok();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "0-3,7",
      "0:memory=1Gi,hugepages-2Mi=4Mi",
      R"({"policyName":"static","defaultCpuSet":"1-3","entries":{"p":{"c":"4"}},"checksum":0})",
      R"({"policyName":"Static","machineState":{"0":{"numberOfAssignments":0,"memoryMap":{"memory":)"
      R"({"total":4,"systemReserved":1,"allocatable":3,"reserved":0,"free":3}},"cells":[0]}},)"
      R"("entries":{"p":{"c":[{"numaAffinity":[0],"type":"memory","size":1}]}},"checksum":0})",
      R"({"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":3467439661})",
      R"({"Data":{"PodDeviceEntries":[{"PodUID":"p","ContainerName":"c","ResourceName":"d/r",)"
      R"("DeviceIDs":{"0":["x"]},"AllocResp":"CgYKAUESATE="}],"RegisteredDevices":{"d/r":["x"]}},)"
      R"("Checksum":608748436})",
      R"({"Data":"{\"ClaimInfoStateList\":[]}","Checksum":520283637})",
      R"({"Data":"{\"kind\":\"DRACheckpoint\",\"apiVersion\":\"checkpoint.dra.kubelet.k8s.io/v1\",)"
      R"(\"ClaimInfoStateList\":[{\"ClaimUID\":\"u\",\"ClaimName\":\"c\",\"Namespace\":\"n\",)"
      R"(\"PodUIDs\":{\"p\":{}},\"DriverState\":{\"d\":{\"Devices\":[{\"PoolName\":\"p\",)"
      R"(\"DeviceName\":\"d\",\"ShareID\":null,\"RequestNames\":[\"r\"],)"
      R"(\"CDIDeviceIDs\":[\"d/c=a\"]}]}}}]}","Checksum":1828129781})",
      R"({"kind":"example.com/gizmo","devices":[{"name":"a","containerEdits":{"env":["A=1"]}}]})",
      "\x0a\x06\x0a\x01"
      "A\x12\x01"
      "1"};
}
