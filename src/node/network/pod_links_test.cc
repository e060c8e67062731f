#include "node/network/pod_links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/beneath.h"
#include "base/file.h"
#include "base/temporary_directory.h"
#include "net/host/nftables.h"
#include "node/network/link_guard.h"

namespace keles {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string result(const std::string& link, const std::string& mac, const std::string& ips) {
  return R"({"cniVersion":"0.4.0","interfaces":[{"name":"cni0","mac":"12:00:00:00:00:99"},)"
         R"({"name":")" +
         link + R"(","mac":"12:00:00:00:00:98"},{"name":"eth0","mac":")" + mac +
         R"(","sandbox":"/var/run/netns/cni-1"}],"ips":[)" + ips + R"(],"dns":{}})";
}
std::string kept(const std::string& result) {
  return R"({"kind":"cniCacheV1","containerId":"s1","networkName":"keles","result":)" + result +
         "}";
}
const std::string kTwo =
    R"({"version":"4","interface":2,"address":"10.244.0.5/24","gateway":"10.244.0.1"},)"
    R"({"version":"6","interface":2,"address":"fd00::5/64"})";

TEST(PodLink, IsReadFromWhatTheRuntimeKeeps) {
  for (const std::string& text : {result("veth1a2b", "12:34:56:78:9a:bc", kTwo),
                                  kept(result("veth1a2b", "12:34:56:78:9a:bc", kTwo))}) {
    auto link = read_pod_link(text, "s1", "cni0");
    ASSERT_TRUE(link.ok()) << link.status().message();
    EXPECT_EQ(link->name, "veth1a2b");
    EXPECT_EQ(link->sandbox, "s1");
    EXPECT_EQ(link->mac, (NetMac{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}));
    ASSERT_EQ(link->ips.size(), 2u);
    EXPECT_EQ(link->ips[1].text(), "fd00::5");
  }
}

TEST(PodLink, IsRefusedWhereItCouldBeMoreThanAName) {
  const std::string mac = "12:34:56:78:9a:bc";
  for (const std::string& text :
       {std::string("{"), std::string("{}"), result("veth*", mac, kTwo), result("", mac, kTwo),
        result("v\\\" } ; flush ruleset", mac, kTwo), result("sixteen-letters-", mac, kTwo),
        result("veth1", "12:34:56:78:9a", kTwo), result("veth1", "12:34:56:78:9a:g0", kTwo),
        result("veth1", "12-34-56-78-9a-bc", kTwo), result("veth1", mac, ""),
        result("veth1", mac, R"({"address":"10.0.0.1 } ; flush"})"),
        result(R"(a"},{"name":"b)", mac, kTwo)})
    EXPECT_FALSE(read_pod_link(text, "s1", "cni0").ok()) << text;
}

PodLink pod(int n) {
  PodLink p;
  p.name = "port" + std::to_string(n);
  p.sandbox = "s" + std::to_string(n);
  p.mac = NetMac{2, 0, 0, 0, 0, static_cast<uint8_t>(n)};
  p.ips = {*IpAddress::parse("10.244.0." + std::to_string(n)),
           *IpAddress::parse("fd00::" + std::to_string(n))};
  return p;
}

TEST(PodLink, RulesAreOfElements) {
  EXPECT_EQ(link_local_of(NetMac{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}).text(),
            "fe80::11:22ff:fe33:4455");
  const std::string all = pod_link_rules({pod(1)});
  EXPECT_THAT(all, StartsWith("add table bridge keles-pod-links\ndelete table"));
  EXPECT_THAT(all, HasSubstr("\"port1\" . 02:00:00:00:00:01 . 10.244.0.1,"));
  EXPECT_THAT(all, HasSubstr("\"port1\" . 02:00:00:00:00:01 . fe80::ff:fe00:1,"));
  const std::string change = pod_link_changes({pod(1)}, {pod(2)});
  EXPECT_THAT(change, HasSubstr("delete element bridge keles-pod-links sources4 { \"port1\" . "
                                "02:00:00:00:00:01 . 10.244.0.1, }\n"));
  EXPECT_THAT(change, HasSubstr("add element bridge keles-pod-links links { \"port2\", }\n"));
  EXPECT_THAT(change, Not(HasSubstr("chain")));
}

// --- the table, by what the runtime keeps ---

class Table : public testing::Test {
 protected:
  void attach(const std::string& id, const std::string& link, int n) {
    const std::string mac = "12:34:56:78:9a:0" + std::to_string(n);
    const std::string ip = R"({"address":"10.244.0.)" + std::to_string(n) + R"(/24"})";
    ASSERT_TRUE(make_directories(places().results).ok());
    ASSERT_TRUE(
        write_file(places().results + "/keles-" + id + "-eth0", kept(result(link, mac, ip))).ok());
    veths_.push_back(link);
  }
  void lease(const std::string& ip, const std::string& id) {
    ASSERT_TRUE(make_directories(places().leases).ok());
    ASSERT_TRUE(write_file(places().leases + "/" + ip, id + "\r\neth0").ok());
  }
  LinkPlaces places() const {
    return LinkPlaces{directory_.path() + "/results", directory_.path() + "/leases"};
  }
  LinkTable::Kernel kernel() {
    LinkTable::Kernel k;
    k.veths = [this]() -> Result<std::vector<std::string>> { return veths_; };
    k.apply = [this](const std::string& text) {
      applied_.push_back(text);
      return refuses_-- > 0 ? Status::internal("no") : Status();
    };
    return k;
  }
  static LinkTable::Ask ask(const std::string& id, const std::string& ip) {
    return LinkTable::Ask{id, {*IpAddress::parse(ip)}};
  }
  static std::string names(const LinkTable& t) {
    std::string out;
    for (const auto& [name, link] : t.links()) out += name + "=" + link.sandbox + " ";
    return out;
  }
  std::vector<std::string> veths_, applied_;
  int refuses_ = 0;

 private:
  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::make());
};

TEST_F(Table, FollowsSandboxesAsTheyComeAndGo) {
  attach("old", "veth1", 1);
  attach("stale", "veth2", 2);
  veths_ = {"veth1", "others"};
  LinkTable table(places(), kernel());
  EXPECT_TRUE(table.update({}).whole.ok());
  EXPECT_EQ(names(table), "veth1=old ");
  ASSERT_EQ(applied_.size(), 1u);
  EXPECT_THAT(applied_[0], HasSubstr("table bridge keles-pod-links {"));

  attach("new", "veth3", 3);
  auto outcome = table.update({ask("new", "10.244.0.3"), ask("another-network", "10.9.0.1")});
  ASSERT_EQ(outcome.answers.size(), 2u);
  EXPECT_TRUE(outcome.answers[0].ok() && outcome.answers[1].ok());
  EXPECT_EQ(names(table), "veth1=old veth3=new ");
  EXPECT_EQ(applied_.size(), 2u);
  EXPECT_THAT(applied_[1], Not(HasSubstr("table ")));

  (void)table.update({ask("new", "10.244.0.3")});  // again changes nothing
  EXPECT_EQ(applied_.size(), 2u);
  veths_ = {"veth3"};
  (void)table.update({});
  EXPECT_EQ(names(table), "veth3=new ");
  EXPECT_THAT(applied_.back(), HasSubstr("delete element bridge keles-pod-links links"));
  // The name of one that went is another's.
  attach("next", "veth3", 4);
  (void)table.update({ask("next", "10.244.0.4")});
  EXPECT_EQ(names(table), "veth3=next ");
  EXPECT_THAT(applied_.back(), HasSubstr("delete element"));
  EXPECT_THAT(applied_.back(), HasSubstr("add element"));
}

TEST_F(Table, IsClosedForAPodWhoseLinkIsNotKnown) {
  LinkTable table(places(), kernel());
  lease("10.244.0.7", "lost");
  auto outcome = table.update({ask("lost", "10.244.0.7"), ask("none", "10.244.0.8")});
  EXPECT_TRUE(outcome.answers[0].is(Reason::kUnavailable));
  EXPECT_TRUE(outcome.answers[1].ok());
  attach("early", "veth9", 9);
  veths_.clear();
  EXPECT_TRUE(table.update({ask("early", "10.244.0.9")}).answers[0].is(Reason::kUnavailable));
  EXPECT_FALSE(table.update({ask("../x", "10.244.0.9")}).answers[0].ok());
}

TEST_F(Table, IsMadeAnewWhereAnotherHandWasAt) {
  attach("old", "veth1", 1);
  LinkTable table(places(), kernel());
  (void)table.update({});
  attach("new", "veth2", 2);
  refuses_ = 1;
  EXPECT_TRUE(table.update({ask("new", "10.244.0.2")}).answers[0].ok());
  EXPECT_EQ(names(table), "veth1=old veth2=new ");
  EXPECT_THAT(applied_.back(), HasSubstr("table bridge"));
  attach("third", "veth3", 3);
  refuses_ = 2;
  EXPECT_TRUE(table.update({ask("third", "10.244.0.3")}).answers[0].is(Reason::kUnavailable));
  EXPECT_TRUE(table.update({ask("third", "10.244.0.3")}).answers[0].ok());
}

TEST_F(Table, IsOpenWhereTheKernelHasNoRulesForBridges) {
  attach("old", "veth1", 1);
  LinkTable table(places(), kernel());
  refuses_ = 1;
  auto outcome = table.update({ask("old", "10.244.0.1")});
  EXPECT_FALSE(outcome.whole.ok());
  EXPECT_TRUE(outcome.answers[0].ok());
}

// --- frames ---

using Bytes = std::vector<uint8_t>;
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes bytes(const std::string& ip) {
  const IpAddress a = *IpAddress::parse(ip);
  return Bytes(a.bytes().begin(), a.bytes().end());
}
Bytes mac(int n) { return {2, 0, 0, 0, 0, static_cast<uint8_t>(n)}; }

Bytes frame(int from, uint16_t type, const Bytes& rest) {
  // Not padded: br_netfilter would cut that off.
  return Bytes(6, 0xff) + mac(from) +
         Bytes{static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type)} + rest;
}
// br_netfilter drops what has no valid checksum.
Bytes ip4(int from, const std::string& source, const std::string& to = "10.244.0.200") {
  Bytes header = Bytes{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0} + bytes(source) + bytes(to);
  uint32_t sum = 0;
  for (size_t i = 0; i < header.size(); i += 2) sum += header[i] * 256u + header[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  header[10] = static_cast<uint8_t>(~sum >> 8);
  header[11] = static_cast<uint8_t>(~sum);
  return frame(from, 0x0800, header);
}
Bytes arp(int from, int sender, const std::string& source, uint8_t operation) {
  return frame(from, 0x0806,
               Bytes{0, 1, 8, 0, 6, 4, 0, operation} + mac(sender) + bytes(source) + Bytes(6, 0) +
                   bytes("10.244.0.200"));
}
Bytes ip6(int from, const std::string& source, uint8_t next, const Bytes& payload) {
  return frame(from, 0x86dd,
               Bytes{0x60, 0, 0, 0, 0, static_cast<uint8_t>(payload.size()), next, 255} +
                   bytes(source) + bytes("ff02::1") + payload);
}
Bytes neighbour(int from, const std::string& source, uint8_t type, const std::string& target) {
  return ip6(from, source, 58, Bytes{type, 0, 0, 0, 0, 0, 0, 0} + bytes(target));
}

// Two ports of a bridge, and the far ends of their links, which are the pods'.
class Bridge {
 public:
  Bridge() {
    auto n = Netlink::open();
    if (!n.ok() || !n->add_bridge("cni0").ok()) return;
    const int bridge = n->link("cni0")->index;
    ok_ = n->set_link_up(bridge).ok();
    for (int i : {1, 2}) {
      const std::string port = "port" + std::to_string(i), end = "end" + std::to_string(i);
      ok_ = ok_ && n->add_veth(port, end, 0).ok();
      if (!ok_) return;
      ok_ = n->set_link_master(n->link(port)->index, bridge).ok() &&
            n->set_link_up(n->link(port)->index).ok() && n->set_link_up(n->link(end)->index).ok();
      sockets_.push_back(open_at(n->link(end)->index));
    }
    ok_ = ok_ && carries();
  }
  bool ok() const { return ok_; }
  // Whether what end 1 sends comes to end 2; looked for until what is sent after it is there.
  bool passes(const Bytes& sent) {
    const Bytes last = ip4(1, "10.244.0.1", "10.244.0.201");
    if (broken_) return false;
    if (::send(sockets_[0].get(), sent.data(), sent.size(), 0) < 0) return false;
    if (::send(sockets_[0].get(), last.data(), last.size(), 0) < 0) return false;
    bool came = false;
    for (;;) {
      pollfd p{sockets_[1].get(), POLLIN, 0};
      if (::poll(&p, 1, 3000) <= 0) {
        ADD_FAILURE() << "the link's own frame did not pass";
        broken_ = true;
        return came;
      }
      Bytes got(2048);
      const ssize_t n = ::recv(p.fd, got.data(), got.size(), 0);
      got.resize(n > 0 ? static_cast<size_t>(n) : 0);
      if (got == last) return came;
      came = came || got == sent;
    }
  }

 private:
  // The kernel lets frames through some time after a link is up, on a busy machine seconds later.
  bool carries() {
    const Bytes first = ip4(1, "10.244.0.1", "10.244.0.202");
    for (int i = 0; i < 600; ++i) {
      if (::send(sockets_[0].get(), first.data(), first.size(), 0) < 0 && errno != ENETDOWN)
        return false;
      pollfd p{sockets_[1].get(), POLLIN, 0};
      while (::poll(&p, 1, 50) > 0) {
        Bytes got(2048);
        const ssize_t n = ::recv(p.fd, got.data(), got.size(), 0);
        got.resize(n > 0 ? static_cast<size_t>(n) : 0);
        if (got == first) return true;
      }
    }
    return false;
  }
  static Fd open_at(int index) {
    Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = index;
    (void)::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at);
    return fd;
  }
  bool ok_ = false, broken_ = false;
  std::vector<Fd> sockets_;
};

void try_frames(Bridge& b) {
  const std::string own = "fd00::1", other = "fd00::2", local = "fe80::ff:fe00:1", none = "::";
  EXPECT_TRUE(b.passes(ip4(1, "10.244.0.1")));
  EXPECT_FALSE(b.passes(ip4(1, "10.244.0.2")));
  EXPECT_FALSE(b.passes(ip4(2, "10.244.0.1")));
  EXPECT_FALSE(b.passes(ip4(2, "10.244.0.2")));
  EXPECT_FALSE(b.passes(ip4(1, "0.0.0.0")));
  for (uint8_t operation : {1, 2}) {
    EXPECT_TRUE(b.passes(arp(1, 1, "10.244.0.1", operation)));
    EXPECT_FALSE(b.passes(arp(1, 1, "10.244.0.2", operation)));
    EXPECT_FALSE(b.passes(arp(1, 2, "10.244.0.1", operation)));
    EXPECT_FALSE(b.passes(arp(2, 2, "10.244.0.2", operation)));
  }
  EXPECT_TRUE(b.passes(arp(1, 1, "0.0.0.0", 1)));
  EXPECT_FALSE(b.passes(arp(1, 1, "0.0.0.0", 2)));
  const Bytes data(8, 7);
  EXPECT_TRUE(b.passes(ip6(1, own, 253, data)));
  EXPECT_TRUE(b.passes(ip6(1, local, 253, data)));
  EXPECT_FALSE(b.passes(ip6(1, other, 253, data)));
  EXPECT_FALSE(b.passes(ip6(1, "fe80::ff:fe00:2", 253, data)));
  EXPECT_FALSE(b.passes(ip6(1, none, 253, data)));
  constexpr uint8_t kRouterSolicit = 133, kRouterAdvert = 134, kSolicit = 135, kAdvert = 136,
                    kRedirect = 137, kReport = 143;
  EXPECT_TRUE(b.passes(neighbour(1, own, kSolicit, other)));
  EXPECT_TRUE(b.passes(neighbour(1, none, kSolicit, own)));
  EXPECT_TRUE(b.passes(neighbour(1, none, kSolicit, local)));
  EXPECT_FALSE(b.passes(neighbour(1, none, kSolicit, other)));
  EXPECT_TRUE(b.passes(neighbour(1, local, kAdvert, own)));
  EXPECT_FALSE(b.passes(neighbour(1, own, kAdvert, other)));
  EXPECT_FALSE(b.passes(neighbour(1, local, kAdvert, other)));
  EXPECT_FALSE(b.passes(neighbour(1, local, kRouterAdvert, own)));
  EXPECT_FALSE(b.passes(neighbour(1, local, kRedirect, own)));
  EXPECT_TRUE(b.passes(neighbour(1, none, kRouterSolicit, own)));
  EXPECT_TRUE(b.passes(neighbour(1, none, kReport, own)));
  // With an option before it the message is what it was.
  const Bytes hop{58, 0, 5, 2, 0, 0, 1, 0};
  EXPECT_FALSE(b.passes(ip6(1, own, 0, hop + Bytes{kAdvert, 0, 0, 0, 0, 0, 0, 0} + bytes(other))));
  EXPECT_TRUE(b.passes(ip6(1, own, 0, hop + Bytes{kAdvert, 0, 0, 0, 0, 0, 0, 0} + bytes(own))));
  // Nothing else is spoken, nor within another.
  EXPECT_FALSE(b.passes(frame(1, 0x88cc, Bytes(40, 0))));
  Bytes tagged = ip4(1, "10.244.0.2");
  const Bytes tag{0x81, 0, 0, 5};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  EXPECT_FALSE(b.passes(tagged));
}

// In a network namespace of the test's own.
TEST(PodLinkFrames, SpeakForThemselvesOnly) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  std::thread([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    Bridge b;
    ASSERT_TRUE(b.ok());
    Status s = apply_nftables(pod_link_rules({}));
    if (!s.ok()) GTEST_SKIP() << "this kernel has no packet rules for bridges: " << s.message();
    EXPECT_TRUE(b.passes(ip4(1, "10.244.0.2")));  // a link that nobody named
    s = apply_nftables(pod_link_changes({}, {pod(1), pod(2)}));
    ASSERT_TRUE(s.ok()) << s.message();
    try_frames(b);
    ASSERT_TRUE(apply_nftables(pod_link_changes({pod(1)}, {})).ok());
    EXPECT_FALSE(apply_nftables(pod_link_changes({pod(1)}, {})).ok());
    EXPECT_TRUE(b.passes(ip4(1, "10.244.0.2")));
    ASSERT_TRUE(apply_nftables(pod_link_rules({pod(1), pod(2)})).ok());  // anew
    try_frames(b);
    EXPECT_TRUE(apply_nftables(nftables_without_table(kPodLinkTable, "bridge")).ok());
  }).join();
}

}  // namespace
}  // namespace keles
