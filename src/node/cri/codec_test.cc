#include "node/cri/codec.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace keles::node::cri {
namespace {

// A response, over the wire and back.
template <class Response, class Edit>
Ref<Response> sent(const Draft<Edit>& draft) {
  auto back = receive(Response::descriptor(), send(draft));
  EXPECT_TRUE(back.ok());
  return Ref<Response>(*back);
}

TEST(CriCodec, ContainerStatus) {
  Draft<v1::ContainerStatusResponseEdit> d;
  auto status = d->edit_status();
  status.set_id("id1");
  status.edit_metadata().set_name("web");
  status.edit_metadata().set_attempt(3);
  status.set_state(v1::kContainerState_CONTAINER_EXITED);
  status.set_exit_code(137);
  status.edit_image().set_image("x:1");
  status.set_reason("OOMKilled");
  status.edit_labels().set("k", "v");
  const Container c = read(sent<v1::ContainerStatusResponse>(d)->status());
  EXPECT_EQ(c.id, "id1");
  EXPECT_EQ(c.name, "web");
  EXPECT_EQ(c.attempt, 3u);
  EXPECT_EQ(c.state, ContainerState::kExited);
  EXPECT_EQ(c.exit_code, 137);
  EXPECT_EQ(c.image, "x:1");
  EXPECT_EQ(c.reason, "OOMKilled");
  EXPECT_EQ(c.labels.at("k"), "v");
}

// Bytes as a runtime writes them: numbers by upstream's api.proto, zeros left out.
TEST(CriCodec, NumbersAreTheWire) {
  auto container = receive(v1::Container::descriptor(), std::string("\x0a\x01"
                                                                    "c"
                                                                    "\x12\x01"
                                                                    "s"
                                                                    "\x30\x63",
                                                                    8));
  ASSERT_TRUE(container.ok());
  EXPECT_EQ(read(v1::Container((*container)->root)).id, "c");
  EXPECT_EQ(read(v1::Container((*container)->root)).sandbox_id, "s");
  EXPECT_EQ(read(v1::Container((*container)->root)).state,
            ContainerState::kUnknown);  // 99: none that we know
  auto fresh = receive(v1::Container::descriptor(), "");
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(read(v1::Container((*fresh)->root)).state, ContainerState::kCreated);
  auto sandbox =
      receive(v1::PodSandboxStatus::descriptor(), std::string("\x18\x01\x2a\x11\x0a\x08"
                                                              "10.0.0.1"
                                                              "\x12\x05\x0a\x03"
                                                              "::1"
                                                              "\x32\x06\x0a\x04\x12\x02\x08\x02",
                                                              29));
  ASSERT_TRUE(sandbox.ok());
  const Sandbox s = read(v1::PodSandboxStatus((*sandbox)->root));
  EXPECT_EQ(s.state, SandboxState::kNotReady);
  EXPECT_EQ(s.ip, "10.0.0.1");
  EXPECT_EQ(s.additional_ips, std::vector<std::string>{"::1"});
  EXPECT_EQ(s.network, NamespaceMode::kNode);
}

// What a security context leaves out means something else than what it holds empty.
TEST(CriCodec, PresenceIsKept) {
  ContainerConfig c;
  c.name = "web";
  c.env = {{"A", "\xff\x01"}};
  c.run_as_user = 0;
  c.supplemental_groups = {1, 300};
  c.seccomp = Seccomp::kRuntimeDefault;
  c.mounts = {{"/in", "/host", true, Propagation::kBidirectional}};
  Draft<v1::ContainerConfigEdit> d;
  fill(*d, c);
  const std::string bytes = send(d);
  EXPECT_NE(bytes.find("\x0a\x01"
                       "A"
                       "\x12\x02\xff\x01"),
            std::string::npos);
  auto back = sent<v1::ContainerConfig>(d);
  auto security = back->linux().security_context();
  EXPECT_TRUE(security.has_run_as_user());
  EXPECT_EQ(security.run_as_user().value(), 0);
  EXPECT_FALSE(security.has_run_as_group());
  EXPECT_TRUE(security.has_seccomp());  // the runtime's default is all zeros
  EXPECT_FALSE(security.has_apparmor());
  EXPECT_FALSE(security.has_selinux_options());
  EXPECT_EQ(security.supplemental_groups()[1], 300);
  EXPECT_EQ(security.masked_paths().size(), 11u);
  EXPECT_EQ(back->mounts()[0].propagation(), v1::kMountPropagation_PROPAGATION_BIDIRECTIONAL);
  EXPECT_TRUE(back->mounts()[0].readonly());
}

TEST(CriCodec, SandboxConfig) {
  SandboxConfig c;
  c.name = "p";
  c.ns = "default";
  c.attempt = 2;
  c.dns_servers = {"10.96.0.10"};
  c.ports = {{1, 53, 5353, "127.0.0.1"}};
  c.namespaces.network = NamespaceMode::kNode;
  c.sysctls = {{"net.core.somaxconn", "1"}};
  c.strict_groups = true;
  c.selinux = SeLinux{"u", "r", "t", "s0"};
  Draft<v1::PodSandboxConfigEdit> d;
  fill(*d, c);
  auto back = sent<v1::PodSandboxConfig>(d);
  EXPECT_EQ(back->metadata().namespace_(), "default");
  EXPECT_EQ(back->metadata().attempt(), 2);
  EXPECT_EQ(back->dns_config().servers()[0], "10.96.0.10");
  EXPECT_EQ(back->port_mappings()[0].protocol(), v1::kProtocol_UDP);
  EXPECT_EQ(back->port_mappings()[0].host_port(), 5353);
  auto security = back->linux().security_context();
  EXPECT_EQ(security.namespace_options().network(), v1::kNamespaceMode_NODE);
  EXPECT_EQ(security.namespace_options().pid(), v1::kNamespaceMode_CONTAINER);
  EXPECT_EQ(security.supplemental_groups_policy(), v1::kSupplementalGroupsPolicy_Strict);
  EXPECT_EQ(security.selinux_options().level(), "s0");
  EXPECT_TRUE(security.has_seccomp());
  EXPECT_EQ(back->linux().sysctls().get("net.core.somaxconn"), "1");
}

TEST(CriCodec, MalformedBytesAreRefused) {
  EXPECT_FALSE(receive(v1::ContainerStatusResponse::descriptor(), "\x0a\xff").ok());
  EXPECT_FALSE(
      receive(v1::PodSandboxStatusResponse::descriptor(), std::string("\x0a\x02\x0a\x7f", 4)).ok());
  EXPECT_FALSE(receive(v1::ListContainersResponse::descriptor(), "\x07").ok());
  EXPECT_FALSE(receive(v1::StatusResponse::descriptor(), "\x0a\x7f").ok());
}

TEST(CriCodec, EventsNameContainersThatEnded) {
  auto event = [](const char* topic, const char* container, const char* process) {
    std::string exit, any, envelope;
    append_bytes_field(exit, 1, container);
    append_bytes_field(exit, 2, process);
    append_bytes_field(any, 1, "containerd.events.TaskExit");
    append_bytes_field(any, 2, exit);
    append_bytes_field(envelope, 2, "k8s.io");
    append_bytes_field(envelope, 3, topic);
    append_bytes_field(envelope, 4, any);
    return decode_event(envelope);
  };
  EXPECT_EQ(event("/tasks/exit", "c1", "c1"), "c1");
  EXPECT_EQ(event("/tasks/exit", "c1", "exec7"), "");  // a command that was run in it
  EXPECT_EQ(event("/tasks/oom", "c1", ""), "c1");
  EXPECT_EQ(event("/images/create", "c1", "c1"), "");
  EXPECT_EQ(decode_event("\x1a\x7f"), "");
}

TEST(CriCodec, RuntimeStatus) {
  Draft<v1::StatusResponseEdit> d;
  auto condition = d->edit_status().edit_conditions().add();
  condition.set_type("NetworkReady");
  condition.set_status(true);
  auto handler = d->edit_runtime_handlers().add();
  handler.set_name("runc");
  handler.edit_features().set_user_namespaces(true);
  d->edit_features().set_supplemental_groups_policy(true);
  const RuntimeStatus s = read(*sent<v1::StatusResponse>(d));
  ASSERT_EQ(s.conditions.size(), 1u);
  EXPECT_EQ(s.conditions[0].type, "NetworkReady");
  EXPECT_TRUE(s.handlers.at("runc").user_namespaces);
  EXPECT_FALSE(s.handlers.at("runc").recursive_read_only_mounts);
  EXPECT_TRUE(s.supplemental_groups_policy);
}

}  // namespace
}  // namespace keles::node::cri
