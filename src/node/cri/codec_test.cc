#include "node/cri/codec.h"

#include <gtest/gtest.h>

namespace keles::node::cri {
namespace {

std::string message(uint32_t field, WireWriter& w) {
  WireWriter out;
  out.message(field, w);
  return out.take();
}

TEST(CriCodec, ContainerStatus) {
  WireWriter status, metadata, image;
  metadata.text(1, "web");
  metadata.number(2, 3);
  image.text(1, "x:1");
  status.text(1, "id1");
  status.message(2, metadata);
  status.number(3, 2);
  status.number(7, 137);
  status.message(8, image);
  status.text(10, "OOMKilled");
  status.text_map(12, {{"k", "v"}});
  auto c = decode_container_status(message(1, status));
  ASSERT_TRUE(c.has_value());
  EXPECT_EQ(c->id, "id1");
  EXPECT_EQ(c->name, "web");
  EXPECT_EQ(c->attempt, 3u);
  EXPECT_EQ(c->state, ContainerState::kExited);
  EXPECT_EQ(c->exit_code, 137);
  EXPECT_EQ(c->image, "x:1");
  EXPECT_EQ(c->reason, "OOMKilled");
  EXPECT_EQ(c->labels["k"], "v");
}

TEST(CriCodec, MalformedBytesAreRefused) {
  EXPECT_FALSE(decode_container_status("\x0a\xff").has_value());
  EXPECT_FALSE(decode_sandbox_status(std::string("\x0a\x02\x0a\x7f", 4)).has_value());
  EXPECT_FALSE(decode_container_list("\x07").has_value());
}

TEST(CriCodec, EventsNameContainersThatEnded) {
  auto event = [](const char* topic, const char* container, const char* process) {
    WireWriter exit, any, envelope;
    exit.text(1, container);
    exit.text(2, process);
    any.text(1, "containerd.events.TaskExit");
    any.message(2, exit);
    envelope.text(2, "k8s.io");
    envelope.text(3, topic);
    envelope.message(4, any);
    return decode_event(envelope.take());
  };
  EXPECT_EQ(event("/tasks/exit", "c1", "c1"), "c1");
  EXPECT_EQ(event("/tasks/exit", "c1", "exec7"), "");  // a command that was run in it
  EXPECT_EQ(event("/tasks/oom", "c1", ""), "c1");
  EXPECT_EQ(event("/images/create", "c1", "c1"), "");
}

TEST(CriCodec, RuntimeStatus) {
  WireWriter condition, conditions, features, handler, whole, runtime;
  condition.text(1, "NetworkReady");
  condition.boolean(2, true);
  conditions.message(1, condition);
  features.boolean(2, true);
  handler.text(1, "runc");
  handler.message(2, features);
  runtime.boolean(1, true);
  whole.message(1, conditions);
  whole.message(3, handler);
  whole.message(4, runtime);
  auto s = decode_runtime_status(whole.take());
  ASSERT_TRUE(s.has_value());
  ASSERT_EQ(s->conditions.size(), 1u);
  EXPECT_EQ(s->conditions[0].type, "NetworkReady");
  EXPECT_TRUE(s->handlers.at("runc").user_namespaces);
  EXPECT_FALSE(s->handlers.at("runc").recursive_read_only_mounts);
  EXPECT_TRUE(s->supplemental_groups_policy);
  EXPECT_FALSE(decode_runtime_status("\x0a\x7f").has_value());
}

}  // namespace
}  // namespace keles::node::cri
