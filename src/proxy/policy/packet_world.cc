#include "proxy/policy/packet_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "net/host/netlink.h"

namespace keles::policy {
namespace {

constexpr int kMomentMs = 700;
constexpr std::array<int, 2> kTcpPorts{8080, 8081}, kUdpPorts{9000, 9001};

struct Address {
  sockaddr_storage raw{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }
};

Address socket_address(const std::string& text, int port, bool v6) {
  Address out;
  if (v6) {
    auto* a = reinterpret_cast<sockaddr_in6*>(&out.raw);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(static_cast<uint16_t>(port));
    const size_t link = text.find('%');
    if (link != std::string::npos) a->sin6_scope_id = if_nametoindex(text.c_str() + link + 1);
    inet_pton(AF_INET6, text.substr(0, link).c_str(), &a->sin6_addr);
    out.length = sizeof *a;
  } else {
    auto* a = reinterpret_cast<sockaddr_in*>(&out.raw);
    a->sin_family = AF_INET;
    a->sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, text.c_str(), &a->sin_addr);
    out.length = sizeof *a;
  }
  return out;
}

// "" for another family.
std::string address_text(const sockaddr* a) {
  const bool v6 = a->sa_family == AF_INET6;
  if (!v6 && a->sa_family != AF_INET) return "";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* at =
      v6 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr)
         : &reinterpret_cast<const sockaddr_in*>(a)->sin_addr;
  inet_ntop(a->sa_family, at, text.data(), text.size());
  return text.data();
}

bool readable(int fd, short events = POLLIN) {
  pollfd p{fd, events, 0};
  return poll(&p, 1, kMomentMs) == 1 && (p.revents & events) != 0;
}

}  // namespace

bool in_own_network(const std::function<void()>& body) {
  if (geteuid() != 0) return false;
  bool had = false;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) return;
    had = true;
    body();
  }).join();
  return had;
}

// A thread in a namespace of its own that runs what it is given.
class PacketWorld::Host {
 public:
  Host() : thread_([this] { live(); }) {
    run([] {});
  }
  ~Host() {
    run([this] { ending_ = true; });
    thread_.join();
    for (int fd : listening_) close(fd);
  }
  pid_t id() const { return id_; }
  void run(const std::function<void()>& work) {
    std::unique_lock lock(mutex_);
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [&] { return work_ == nullptr; });
  }
  // Echoes on every port of the world until the host ends.
  void serve() {
    for (bool tcp : {true, false}) {
      for (int port : tcp ? kTcpPorts : kUdpPorts) {
        int fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
        int off = 0;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        Address any = socket_address("::", port, true);
        if (bind(fd, any.get(), any.length) != 0) continue;
        if (tcp) listen(fd, 16);
        listening_.push_back(fd);
        echoing_.emplace_back([fd, tcp](const std::stop_token& stop) { echo(fd, tcp, stop); });
      }
    }
  }

 private:
  static void echo(int fd, bool tcp, const std::stop_token& stop) {
    std::vector<int> open;
    while (!stop.stop_requested()) {
      std::vector<pollfd> all{{fd, POLLIN, 0}};
      for (int c : open) all.push_back({c, POLLIN, 0});
      if (poll(all.data(), all.size(), 50) <= 0) continue;
      std::array<char, 64> buffer{};
      for (const pollfd& p : all) {
        if ((p.revents & POLLIN) == 0) continue;
        if (tcp && p.fd == fd) {
          open.push_back(accept(fd, nullptr, nullptr));
        } else if (tcp) {
          ssize_t n = recv(p.fd, buffer.data(), buffer.size(), 0);
          if (n > 0) (void)!send(p.fd, buffer.data(), static_cast<size_t>(n), MSG_NOSIGNAL);
          if (n <= 0) {
            std::erase(open, p.fd);
            close(p.fd);
          }
        } else {
          Address from;
          from.length = sizeof from.raw;
          ssize_t n = recvfrom(fd, buffer.data(), buffer.size(), 0,
                               reinterpret_cast<sockaddr*>(&from.raw), &from.length);
          if (n > 0)
            (void)!sendto(fd, buffer.data(), static_cast<size_t>(n), 0, from.get(), from.length);
        }
      }
    }
    for (int c : open) close(c);
  }
  void live() {
    id_ = gettid();
    if (unshare(CLONE_NEWNET) != 0) return;
    std::unique_lock lock(mutex_);
    while (!ending_) {
      changed_.wait(lock, [&] { return work_ != nullptr; });
      (*work_)();
      work_ = nullptr;
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
  bool ending_ = false;
  pid_t id_ = 0;
  std::vector<int> listening_;
  std::vector<std::jthread> echoing_;
  std::thread thread_;
};

PacketWorld::PacketWorld(int hosts, const std::string& bridge) {
  auto netlink = Netlink::open();
  if (!netlink.ok()) {
    problem_ = netlink.status().message();
    return;
  }
  auto note = [&](const Status& s) {
    if (!s.ok() && problem_.empty()) problem_ = s.message();
  };
  auto set_up = [&](Netlink& n, const std::string& link, const std::string& a4,
                    const std::string& a6) {
    auto found = n.link(link);
    note(found.status());
    if (!found.ok()) return;
    // No detection of duplicates: an address counts at once.
    note(write_in_place("/proc/sys/net/ipv6/conf/" + link + "/accept_dad", "0"));
    note(n.add_address(found->index, *IpPrefix::parse(a4 + (bridge.empty() ? "/24" : "/16"))));
    note(n.add_address(found->index, *IpPrefix::parse(a6 + (bridge.empty() ? "/64" : "/16"))));
    note(n.set_link_up(found->index));
  };
  note(write_in_place("/proc/sys/net/ipv4/ip_forward", "1"));
  note(write_in_place("/proc/sys/net/ipv6/conf/all/forwarding", "1"));
  if (!bridge.empty()) {
    note(netlink->add_bridge(bridge));
    set_up(*netlink, bridge, "10.9.254.1", "fd09:fffe::1");
  }
  for (int i = 0; i < hosts; ++i) {
    hosts_.push_back(std::make_unique<Host>());
    Host& h = *hosts_.back();
    const std::string link = "host" + std::to_string(i);
    std::string near4 = "10.9." + std::to_string(i) + ".1",
                near6 = "fd09:" + std::to_string(i) + "::1";
    note(netlink->add_veth(link, "eth0", h.id()));
    if (bridge.empty()) {
      set_up(*netlink, link, near4, near6);
    } else {
      near4 = "10.9.254.1";
      near6 = "fd09:fffe::1";
      auto port = netlink->link(link), switched = netlink->link(bridge);
      note(port.status());
      note(switched.status());
      if (!problem_.empty()) return;
      note(netlink->set_link_master(port->index, switched->index));
      note(netlink->set_link_up(port->index));
    }
    h.run([&] {
      auto own = Netlink::open();
      note(own.status());
      if (!own.ok()) return;
      auto loopback = own->link("lo");
      if (loopback.ok()) note(own->set_link_up(loopback->index));
      set_up(*own, "eth0", address(i), address6(i));
      for (const std::string& gateway : {near4, near6}) {
        NetRoute out;
        out.gateway = IpAddress::parse(gateway);
        if (out.gateway->v6()) out.destination.base = *IpAddress::parse("::");
        note(own->replace_route(out));
      }
      h.serve();
    });
  }
}

PacketWorld::~PacketWorld() = default;

int PacketWorld::socket_at(int host, bool v6, int type) {
  int fd = -1;
  auto make = [&] { fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0); };
  if (host == kRouter) {
    make();
  } else {
    hosts_[static_cast<size_t>(host)]->run(make);
  }
  return fd;
}

PacketWorld::Connection::~Connection() { close(fd_); }

bool PacketWorld::Connection::echoes() {
  std::array<char, 8> buffer{};
  if (send(fd_, "echo", 4, MSG_NOSIGNAL) != 4) return false;
  return readable(fd_) && recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT) >= 4;
}

std::unique_ptr<PacketWorld::Connection> PacketWorld::open(int from, int to, int port, bool v6) {
  return open_at(from, v6 ? address6(to) : address(to), port, v6);
}

std::unique_ptr<PacketWorld::Connection> PacketWorld::open_at(int from, const std::string& address,
                                                              int port, bool v6) {
  int fd = socket_at(from, v6, SOCK_STREAM | SOCK_NONBLOCK);
  std::unique_ptr<Connection> out(new Connection(fd));
  Address at = socket_address(address, port, v6);
  (void)connect(fd, at.get(), at.length);
  int error = 0;
  socklen_t size = sizeof error;
  if (!readable(fd, POLLOUT) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 ||
      error != 0) {
    return nullptr;
  }
  return out;
}

bool PacketWorld::connects(int from, int to, int port, bool v6) {
  auto c = open(from, to, port, v6);
  return c && c->echoes();
}

bool PacketWorld::reaches(int from, const std::string& address, int port) {
  auto c = open_at(from, address, port, address.find(':') != std::string::npos);
  return c && c->echoes();
}

bool PacketWorld::answers(int from, const std::string& address, int port,
                          const std::string& source) {
  const bool v6 = address.find(':') != std::string::npos;
  Connection c(socket_at(from, v6, SOCK_DGRAM));
  Address at;
  // Links have their numbers in the host's namespace.
  hosts_[static_cast<size_t>(from)]->run([&] { at = socket_address(address, port, v6); });
  int on = 1;
  setsockopt(c.fd_, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  if (!source.empty()) {
    Address own = socket_address(source, 0, v6);
    if (bind(c.fd_, own.get(), own.length) != 0) return false;
  }
  const std::vector<std::string> own = addresses(from);
  std::array<char, 8> buffer{};
  if (sendto(c.fd_, "echo", 4, 0, at.get(), at.length) != 4) return false;
  while (readable(c.fd_)) {
    Address who;
    who.length = sizeof who.raw;
    if (recvfrom(c.fd_, buffer.data(), buffer.size(), MSG_DONTWAIT,
                 reinterpret_cast<sockaddr*>(&who.raw), &who.length) != 4) {
      return false;
    }
    // What is sent to all comes back to the sender, too.
    if (std::find(own.begin(), own.end(), address_text(who.get())) == own.end()) return true;
  }
  return false;
}

void PacketWorld::add_address(int host, const std::string& address) {
  hosts_[static_cast<size_t>(host)]->run([&] {
    auto own = Netlink::open();
    if (!own.ok()) return;
    auto link = own->link("eth0");
    auto ip = IpPrefix::parse(address);
    if (link.ok() && ip) (void)own->add_address(link->index, *ip);
  });
}

std::vector<std::string> PacketWorld::addresses(int host) {
  std::vector<std::string> out;
  hosts_[static_cast<size_t>(host)]->run([&] {
    ifaddrs* all = nullptr;
    if (getifaddrs(&all) != 0) return;
    for (const ifaddrs* a = all; a != nullptr; a = a->ifa_next) {
      if (a->ifa_addr != nullptr) out.push_back(address_text(a->ifa_addr));
    }
    freeifaddrs(all);
  });
  return out;
}

std::string PacketWorld::link_local(int host) {
  for (const std::string& a : addresses(host)) {
    if (a.starts_with("fe80:")) return a + "%eth0";
  }
  return "";
}

bool PacketWorld::udp(int from, int to, int port, bool v6) {
  Connection c(socket_at(from, v6, SOCK_DGRAM));
  Address at = socket_address(v6 ? address6(to) : address(to), port, v6);
  return connect(c.fd_, at.get(), at.length) == 0 && c.echoes();
}

}  // namespace keles::policy
