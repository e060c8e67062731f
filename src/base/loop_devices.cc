#include "base/loop_devices.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>

#include "base/beneath.h"

namespace keles {
namespace {

constexpr int kMostLoops = 1024;
constexpr int kTries = 8;  // others may take the device that was free

Status failed(const std::string& what, const std::string& path) {
  return Status(Reason::kInternalError, what + " " + path + ": " + std::strerror(errno));
}

bool is_there(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

}  // namespace

std::string loop_device_of(const std::string& file) {
  struct stat image {};
  if (::stat(file.c_str(), &image) != 0) return "";
  for (int i = 0; i < kMostLoops; ++i) {
    const std::string name = "loop" + std::to_string(i);
    if (!is_there("/sys/block/" + name)) break;
    if (!is_there("/sys/block/" + name + "/loop")) continue;  // not attached
    const std::string device = "/dev/" + name;
    Fd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
    loop_info64 info{};
    if (!fd.open() || ::ioctl(fd.get(), LOOP_GET_STATUS64, &info) != 0) continue;
    if (info.lo_inode == image.st_ino && info.lo_device == image.st_dev) return device;
  }
  return "";
}

Result<std::string> attach_loop_device(const std::string& file) {
  Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  Fd backing(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!control.open() || !backing.open()) return failed("open", "a loop device");
  for (int tries = 0; tries < kTries; ++tries) {
    const int n = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (n < 0) return failed("find", "a free loop device");
    const std::string device = "/dev/loop" + std::to_string(n);
    if (!is_there(device) && ::mknod(device.c_str(), S_IFBLK | 0600, makedev(7, n)) != 0)
      return failed("mknod", device);
    Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd.open()) return failed("open", device);
    if (::ioctl(fd.get(), LOOP_SET_FD, backing.get()) == 0) return device;
    if (errno != EBUSY) return failed("attach", device);
  }
  return Status(Reason::kUnavailable, "others took every free loop device");
}

Status detach_loop_device(const std::string& device) {
  Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.open()) return failed("open", device);
  if (::ioctl(fd.get(), LOOP_CLR_FD, 0) == 0 || errno == ENXIO) return {};
  if (errno == EBUSY) return Status(Reason::kConflict, device + " is in use");
  return failed("detach", device);
}

}  // namespace keles
