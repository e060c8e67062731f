#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <thread>
#include <utility>

#include "api/discovery_v1.h"
#include "base/loop.h"
#include "base/sync.h"
#include "client/testing/fake_client.h"
#include "dns/message.h"
#include "dns/reply_cache.h"
#include "dns/server.h"
#include "dns/zone.h"
#include "machinery/codec_yaml.h"
#include "net/stream.h"
#include "net/udp.h"

namespace keles::dns {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

std::string question(std::string_view name, uint16_t type, bool edns = false) {
  std::string m("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00", 11);
  m += static_cast<char>(edns ? 1 : 0);
  while (!name.empty()) {
    auto dot = name.find('.');
    std::string_view label = name.substr(0, dot);
    m += static_cast<char>(label.size());
    m += label;
    name = dot == name.npos ? std::string_view() : name.substr(dot + 1);
  }
  m += std::string(1, '\0') + std::string(1, '\0') + static_cast<char>(type) +
       std::string("\0\x01", 2);
  if (edns) m += std::string("\0\0\x29\x10\0\0\0\0\0\0\0", 11);
  return m;
}

TEST(Message, ReadsQuestions) {
  auto q = parse_query(question("Kube-DNS.kube-system", kA, true));
  ASSERT_TRUE(q.ok()) << q.status().to_string();
  EXPECT_EQ(q->name, "kube-dns.kube-system");
  EXPECT_EQ(q->name_as_asked, "Kube-DNS.kube-system");
  EXPECT_EQ(q->edns_payload, 4096);
  EXPECT_FALSE(parse_query("").ok());
  EXPECT_FALSE(parse_query(question("x", kA).substr(0, 14)).ok());
  std::string loop = question("a", kA);
  loop[12] = '\xc0';
  loop[13] = '\x0c';
  EXPECT_FALSE(parse_query(loop).ok());
  std::string dotted = question("a-.b", kA);  // one label "a.b" would come back as two
  dotted.replace(12, 5, "\4a..b");
  EXPECT_FALSE(parse_query(dotted).ok());
}

TEST(Message, CutsWhatDoesNotFit) {
  auto q = parse_query(question("many.default.svc.cluster.local", kA));
  Answer a;
  for (int i = 1; i < 100; ++i)
    a.answers.push_back({q->name, kA, 30, "10.0.0." + std::to_string(i)});
  std::string m = write_answer(*q, a, "cluster.local", 512);
  EXPECT_LE(m.size(), 512u);
  EXPECT_TRUE(m[2] & 0x02);
  EXPECT_LT(write_answer(*q, a, "cluster.local", 4096).size(),
            99u * 16 + 60);  // names are compressed
}

TEST(ReplyCache, KeepsWhatMayBeKept) {
  const TimePoint start{0};
  auto reply = [](int rcode, uint8_t ttl, bool cut = false) {
    std::string m = question("example.org", kA);
    m[2] = static_cast<char>(0x81 | (cut ? 2 : 0));
    m[3] = static_cast<char>(0x80 | rcode);
    m[7] = 1;
    m += std::string("\xc0\x0c\0\1\0\1\0\0\0", 9) + static_cast<char>(ttl) +
         std::string("\0\4\x0a\0\0\1", 6);
    return m;
  };
  ReplyCache cache;
  const std::string q = question("example.org", kA);
  EXPECT_FALSE(cache.find(q, start));
  cache.put(q, reply(0, 20), start);
  std::string other = q;
  other[0] = '\x77';
  auto found = cache.find(other, start + 5s);
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)[0], '\x77');
  auto ttls = ttl_offsets(*found);
  ASSERT_EQ(ttls->size(), 1u);
  EXPECT_EQ((*found)[ttls->front() + 3], 15);
  EXPECT_FALSE(cache.find(question("example.org", kAaaa), start));
  EXPECT_FALSE(cache.find(q, start + 20s));
  cache.put(q, reply(3, 200), start);
  EXPECT_TRUE(cache.find(q, start + 29s));
  EXPECT_FALSE(cache.find(q, start + 30s));
  for (const std::string& unfit : {reply(2, 20), reply(0, 0), reply(0, 20, true),
                                   reply(0, 20).substr(0, 30), std::string("x")}) {
    cache.put(q, unfit, start);
    EXPECT_FALSE(cache.find(q, start));
  }
  EXPECT_EQ(cache.bytes(), 0u);
  ReplyCache small(2000);
  for (int i = 0; i < 100; ++i) {
    small.put(question("n" + std::to_string(i), kA), reply(0, 20), start);
  }
  EXPECT_LE(small.bytes(), 2000u);
  EXPECT_TRUE(small.find(question("n99", kA), start));
  EXPECT_FALSE(small.find(question("n0", kA), start));
}

class ZoneTest : public testing::Test {
 protected:
  Zone zone;
  void SetUp() override {
    zone.set_namespace("default");
    service(
        "metadata: {name: web, namespace: default}\n"
        "spec: {clusterIP: 10.96.1.1, ports: [{name: http, port: 80, protocol: TCP}]}");
    service(
        "metadata: {name: db, namespace: default}\nspec: {clusterIP: None, ports: [{name: pg, "
        "port: 5432}]}");
    service(
        "metadata: {name: out, namespace: default}\nspec: {type: ExternalName, externalName: "
        "example.org}");
    slice(R"(
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432, protocol: TCP}]
endpoints:
- {addresses: [10.244.0.5], hostname: db-0, conditions: {ready: true}}
- {addresses: [10.244.0.6], conditions: {ready: true}}
- {addresses: [10.244.0.7], conditions: {ready: false}}
)");
  }
  void service(std::string_view text) {
    auto d = parse_yaml(text);
    zone.set_service(api::core_v1::Service(d->root));
  }
  void slice(std::string_view text) {
    auto d = parse_yaml(text);
    zone.set_slice(api::discovery_v1::EndpointSlice(d->root));
  }
  std::vector<std::string> ask(std::string_view name, uint16_t type) {
    auto a = zone.answer(name, type);
    if (!a) return {"(forward)"};
    if (a->rcode == kNxDomain) return {"(no such name)"};
    std::vector<std::string> out;
    for (const Record& r : a->answers) {
      out.push_back(r.type == kSrv ? r.text + ":" + std::to_string(r.port) : r.text);
    }
    return out;
  }
};

TEST_F(ZoneTest, OfBothFamilies) {
  service(
      "metadata: {name: dual, namespace: default}\n"
      "spec: {clusterIP: 10.96.1.7, clusterIPs: [10.96.1.7, 'fd00:10:96:0:0::7'], ports: [{name: "
      "http, "
      "port: 80}]}");
  service(
      "metadata: {name: six, namespace: default}\nspec: {clusterIP: None, ports: [{name: pg, port: "
      "5432}]}");
  slice(
      "metadata: {name: six-1, namespace: default, labels: {kubernetes.io/service-name: six}}\n"
      "addressType: IPv6\nports: [{name: pg, port: 5432}]\nendpoints: [{addresses: "
      "['fd00:10:244::5'], hostname: six-0}, {addresses: ['fd00:10:244::6']}]");
  EXPECT_THAT(ask("dual.default.svc.cluster.local", kA), ElementsAre("10.96.1.7"));
  EXPECT_THAT(ask("dual.default.svc.cluster.local", kAaaa), ElementsAre("fd00:10:96::7"));
  EXPECT_THAT(ask("_http._tcp.dual.default.svc.cluster.local", kSrv),
              ElementsAre("dual.default.svc.cluster.local:80"));
  auto srv = zone.answer("_http._tcp.dual.default.svc.cluster.local", kSrv);
  ASSERT_EQ(srv->additional.size(), 2u);
  EXPECT_EQ(srv->additional[1].type, kAaaa);
  EXPECT_THAT(ask("six.default.svc.cluster.local", kAaaa),
              UnorderedElementsAre("fd00:10:244::5", "fd00:10:244::6"));
  EXPECT_THAT(ask("six.default.svc.cluster.local", kA), ElementsAre());
  EXPECT_THAT(ask("six-0.six.default.svc.cluster.local", kAaaa), ElementsAre("fd00:10:244::5"));
  EXPECT_THAT(ask("fd00-10-244--5.default.pod.cluster.local", kAaaa),
              ElementsAre("fd00:10:244::5"));
  auto reverse = [](std::string_view low) {
    std::string out;
    for (char c : low) out += std::string(1, c) + ".";
    return out + "ip6.arpa";
  };
  EXPECT_THAT(ask(reverse("7000000000000000000069000100"
                          "0df"),
                  kPtr),
              ElementsAre("(forward)"));  // 31 digits
  EXPECT_THAT(ask(reverse("70000000000000000000"
                          "6900"
                          "0100"
                          "00df"),
                  kPtr),
              ElementsAre("dual.default.svc.cluster.local"));
  EXPECT_THAT(ask(reverse("50000000000000000000"
                          "4420"
                          "0100"
                          "00df"),
                  kPtr),
              ElementsAre("six-0.six.default.svc.cluster.local"));
  EXPECT_THAT(ask(reverse("90000000000000000000"
                          "4420"
                          "0100"
                          "00df"),
                  kPtr),
              ElementsAre("(forward)"));
  service("metadata: {name: dual, namespace: default}\nspec: {clusterIP: 'none of these'}");
  EXPECT_THAT(ask("dual.default.svc.cluster.local", kAny), ElementsAre("(no such name)"));
}

TEST_F(ZoneTest, AnswersAsTheSpecificationSays) {
  EXPECT_THAT(ask("web.default.svc.cluster.local", kA), ElementsAre("10.96.1.1"));
  EXPECT_THAT(ask("web.default.svc.cluster.local", kAaaa), ElementsAre());
  EXPECT_THAT(ask("_http._tcp.web.default.svc.cluster.local", kSrv),
              ElementsAre("web.default.svc.cluster.local:80"));
  EXPECT_THAT(ask("db.default.svc.cluster.local", kA),
              UnorderedElementsAre("10.244.0.5", "10.244.0.6"));
  EXPECT_THAT(ask("db-0.db.default.svc.cluster.local", kA), ElementsAre("10.244.0.5"));
  EXPECT_THAT(ask("10-244-0-6.db.default.svc.cluster.local", kA), ElementsAre("10.244.0.6"));
  EXPECT_THAT(ask("_pg._tcp.db.default.svc.cluster.local", kSrv),
              UnorderedElementsAre("db-0.db.default.svc.cluster.local:5432",
                                   "10-244-0-6.db.default.svc.cluster.local:5432"));
  EXPECT_THAT(ask("out.default.svc.cluster.local", kA), ElementsAre("example.org"));
  EXPECT_THAT(ask("10-1-2-3.default.pod.cluster.local", kA), ElementsAre("10.1.2.3"));
  EXPECT_THAT(ask("1.1.96.10.in-addr.arpa", kPtr), ElementsAre("web.default.svc.cluster.local"));
  EXPECT_THAT(ask("5.0.244.10.in-addr.arpa", kPtr),
              ElementsAre("db-0.db.default.svc.cluster.local"));
  EXPECT_THAT(ask("dns-version.cluster.local", kTxt), ElementsAre("1.1.0"));
}

// What an alias stands for comes with it.
TEST_F(ZoneTest, FollowsAliases) {
  auto alias = [&](std::string_view name, std::string_view target) {
    service("metadata: {name: " + std::string(name) +
            ", namespace: default}\nspec: {type: ExternalName, externalName: " +
            std::string(target) + "}");
  };
  alias("inner", "web.default.svc.cluster.local.");
  alias("twice", "inner.default.svc.cluster.local");
  alias("lost", "nope.default.svc.cluster.local");
  alias("ring", "ring.default.svc.cluster.local");
  EXPECT_THAT(ask("inner.default.svc.cluster.local", kA),
              ElementsAre("web.default.svc.cluster.local", "10.96.1.1"));
  EXPECT_THAT(ask("inner.default.svc.cluster.local", kCname),
              ElementsAre("web.default.svc.cluster.local"));
  EXPECT_THAT(ask("inner.default.svc.cluster.local", kAaaa),
              ElementsAre("web.default.svc.cluster.local"));
  EXPECT_THAT(
      ask("twice.default.svc.cluster.local", kA),
      ElementsAre("inner.default.svc.cluster.local", "web.default.svc.cluster.local", "10.96.1.1"));
  EXPECT_THAT(ask("lost.default.svc.cluster.local", kA),
              ElementsAre("nope.default.svc.cluster.local"));
  EXPECT_LT(ask("ring.default.svc.cluster.local", kA).size(), 10u);
  EXPECT_EQ(zone.answer("out.default.svc.cluster.local", kA)->chase, "example.org");
  EXPECT_EQ(zone.answer("out.default.svc.cluster.local", kCname)->chase, "");
  EXPECT_EQ(zone.answer("inner.default.svc.cluster.local", kA)->chase, "");
}

TEST(Message, ReadsReplies) {
  std::string asked = write_question(7, "example.org", kA);
  auto q = parse_query(asked);
  ASSERT_TRUE(q.ok());
  EXPECT_EQ(q->name, "example.org");
  EXPECT_TRUE(q->recursion_desired);
  Answer a;
  a.answers.push_back({"example.org", kCname, 60, "www.example.org"});
  a.answers.push_back({"www.example.org", kA, 60, "192.0.2.1"});
  a.answers.push_back({"www.example.org", kAaaa, 60, "2001:db8::1"});
  a.answers.push_back({"www.example.org", kTxt, 60, "no address"});
  const std::string reply = write_answer(*q, a, "cluster.local", 512);
  auto read = parse_answer(reply);
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  ASSERT_EQ(read->answers.size(), 3u);
  EXPECT_EQ(read->answers[0].text, "www.example.org");
  EXPECT_EQ(read->answers[1].text, "192.0.2.1");
  EXPECT_EQ(read->answers[1].ttl_seconds, 60u);
  EXPECT_EQ(read->answers[2].text, "2001:db8::1");
  EXPECT_FALSE(parse_answer(asked).ok());
  // Cut anywhere, it is refused or shorter, never read beyond its end.
  for (size_t n = 0; n < reply.size(); ++n) {
    std::string cut = reply.substr(0, n);
    (void)parse_answer(cut);
  }
}

TEST_F(ZoneTest, KnowsWhatIsNotThere) {
  EXPECT_THAT(ask("nope.default.svc.cluster.local", kA), ElementsAre("(no such name)"));
  EXPECT_THAT(ask("web.nope.svc.cluster.local", kA), ElementsAre("(no such name)"));
  EXPECT_THAT(ask("x.web.default.svc.cluster.local", kA), ElementsAre("(no such name)"));
  EXPECT_THAT(ask("example.org", kA), ElementsAre("(forward)"));
  EXPECT_THAT(ask("9.9.9.9.in-addr.arpa", kPtr), ElementsAre("(forward)"));
  zone.remove_service("default", "web");
  EXPECT_THAT(ask("web.default.svc.cluster.local", kA), ElementsAre("(no such name)"));
  EXPECT_THAT(ask("1.1.96.10.in-addr.arpa", kPtr), ElementsAre("(forward)"));
}

TEST(NameServers, LeavesOutLoopback) {
  EXPECT_THAT(name_servers("search x\nnameserver 127.0.0.53\nnameserver 192.0.2.1 # main\n"),
              ElementsAre("192.0.2.1"));
}

Task<void> talk(Context ctx, DnsServer* server, RealLoop* loop) {
  Context serving = ctx.child();
  TaskGroup group(*loop);
  group.spawn(server->run(serving, nullptr, nullptr));
  auto socket = net::UdpSocket::bind(*loop, "127.0.0.1", 0);
  Context limited = ctx.with_timeout(5s);
  std::string q = question("web.default.svc.cluster.local", kA);
  net::UdpAddress to;
  to.ip = "127.0.0.1";
  to.port = server->port();
  Status sent = co_await (*socket)->send(limited, q, to);
  EXPECT_TRUE(sent.ok()) << sent.to_string();
  auto reply = co_await (*socket)->receive(limited);
  EXPECT_TRUE(reply.ok()) << reply.status().to_string();
  if (reply.ok()) {
    EXPECT_TRUE(reply->data.ends_with(std::string("\x0a\x60\x01\x01", 4)));
  }
  auto stream = co_await net::dial(limited, "127.0.0.1", server->port());
  EXPECT_TRUE(stream.ok()) << stream.status().to_string();
  if (stream.ok()) {
    std::string framed = std::string(1, '\0') + static_cast<char>(q.size()) + q;
    (void)co_await (*stream)->write(limited, framed);
    auto over_tcp = co_await (*stream)->read(limited);
    EXPECT_TRUE(over_tcp.ok() && over_tcp->ends_with(std::string("\x0a\x60\x01\x01", 4)));
  }
  serving.cancel();
  co_await group.join();
  loop->stop();
}

TEST(DnsServer, AnswersOverUdpAndTcp) {
  auto loop = make_real_loop();
  DnsOptions o;
  o.address = "127.0.0.1";
  o.port = 0;
  auto server = DnsServer::start(*loop, o);
  ASSERT_TRUE(server.ok()) << server.status().to_string();
  (*server)->zone().set_namespace("default");
  auto d = parse_yaml(
      "metadata: {name: web, namespace: default}\nspec: {clusterIP: 10.96.1.1, ports: [{port: "
      "80}]}");
  (*server)->zone().set_service(api::core_v1::Service(d->root));
  Context ctx = Context::root(*loop);
  spawn(*loop, talk(ctx, server->get(), loop.get()));
  loop->run();
}

Task<void> nothing() { co_return; }

Task<void> publish_in_turn(Context ctx, DnsServer* server, FakeClient* client,
                           std::function<Task<void>(Context)>* publishing, RealLoop* loop) {
  using api::discovery_v1::EndpointSlice;
  Context serving = ctx.child();
  TaskGroup group(*loop);
  group.spawn(server->run(serving, client, nullptr));
  (void)co_await ctx.sleep(20ms);
  EXPECT_TRUE(client->writes().empty()) << "another server is the cluster's";
  EXPECT_TRUE(*publishing);
  Context leading = serving.child();
  group.spawn((*publishing)(leading));
  for (int i = 0; i < 500 && client->all<EndpointSlice>().empty(); ++i)
    (void)co_await ctx.sleep(10ms);
  const auto slices = client->all<EndpointSlice>("kube-system");
  EXPECT_EQ(slices.size(), 1u);
  if (!slices.empty()) {
    EXPECT_EQ(slices[0]->endpoints()[0].addresses()[0], "172.18.0.2");
  }
  serving.cancel();
  co_await group.join();
  loop->stop();
}

TEST(DnsServer, OfSeveralIsPublishedWhileItLeads) {
  auto loop = make_real_loop();
  FakeClient client(*loop);
  std::function<Task<void>(Context)> publishing;
  DnsOptions o;
  o.address = "127.0.0.1";
  o.port = 0;
  o.service_ip = "10.96.0.10";
  o.endpoint_ip = "172.18.0.2";
  o.while_leading = [&](Context, std::function<Task<void>(Context)> publish) -> Task<void> {
    publishing = std::move(publish);
    return nothing();
  };
  auto server = DnsServer::start(*loop, o);
  ASSERT_TRUE(server.ok()) << server.status().to_string();
  Context ctx = Context::root(*loop);
  spawn(*loop, publish_in_turn(ctx, server->get(), &client, &publishing, loop.get()));
  loop->run();
}

// A port that is free for UDP may be taken for TCP: asked for any port, the server takes one that
// is free for both. The thread has a network of its own, where only two ports can be given out.
TEST(DnsServer, TakesAPortThatIsFreeForBothProtocols) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, for a network namespace";
  std::thread([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ifreq up{};
    std::strcpy(up.ifr_name, "lo");
    up.ifr_flags = IFF_UP | IFF_RUNNING;
    const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(ioctl(s, SIOCSIFFLAGS, &up), 0);
    close(s);
    std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << "40000 40001" << std::flush;
    auto loop = make_real_loop();
    auto taken = net::StreamListener::listen(*loop, "127.0.0.1", 40000);
    ASSERT_TRUE(taken.ok()) << taken.status().to_string();
    for (int i = 0; i < 8; ++i) {
      DnsOptions o;
      o.address = "127.0.0.1";
      o.port = 0;
      auto server = DnsServer::start(*loop, o);
      ASSERT_TRUE(server.ok()) << server.status().to_string();
      EXPECT_EQ((*server)->port(), 40001);
    }
  }).join();
}

}  // namespace
}  // namespace keles::dns
