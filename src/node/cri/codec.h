// Plain structs to and from the CRI's messages (the typed views of api/cri_v1.h). The bytes are the
// descriptor tables' work: send() and receive(). Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/cri_v1.h"
#include "machinery/codec_protobuf.h"
#include "node/cri/runtime.h"

namespace keles::node::cri {

namespace v1 = api::cri_v1;

void fill(v1::PodSandboxConfigEdit out, const SandboxConfig& c);
void fill(v1::ContainerConfigEdit out, const ContainerConfig& c);
void fill(v1::LinuxContainerResourcesEdit out, const Resources& r);

Sandbox read(const v1::PodSandbox& in);  // without what only a status tells
Sandbox read(const v1::PodSandboxStatus& in);
Container read(const v1::Container& in);  // likewise
Container read(const v1::ContainerStatus& in);
RuntimeStatus read(const v1::StatusResponse& in);
Image read(const v1::Image& in);
FilesystemUsage read(const v1::FilesystemUsage& in);
ContainerStats read(const v1::ContainerStats& in);

// The bytes of a message that has been drafted.
template <class Edit>
std::string send(const Draft<Edit>& message) {
  return encode_protobuf(Edit::descriptor(), message.value());
}
// A message of that type; it keeps the bytes. BadRequest when they are malformed.
Result<DocumentPtr> receive(const TypeDesc& type, std::string bytes);

// The container id of one containerd event envelope; "" when it names none that ended.
std::string decode_event(std::string_view message);

}  // namespace keles::node::cri
