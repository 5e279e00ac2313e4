"""What systems, NAS boxes and programs leave beside pictures: known by name, and never taken for a picture.

One list for every place that meets other people's folders.
"""

from __future__ import annotations

import fnmatch
import re

from inference.routes_file import sidecar_target

# Without regard to capitals. All that lies below such a folder is clutter too.
_FOLDERS = """
    @eadir @tmp @sharebin @sharesnap #recycle #snapshot .@* @recycle @recently-snapshot .wdmc .snapshot ~snapshot .zfs
    $recycle.bin lost.dir found.[0-9][0-9][0-9] lost+found
    __macosx .appledouble .appledb .appledesktop .fseventsd .temporaryitems .spotlight-v100 .documentrevisions-v100
    .trash .trashes .trash-* .thumbnails .picasaoriginals .git .svn .hg .cache
    .stfolder .stversions .sync .dropbox.cache .tmp.drivedownload .tmp.driveupload *.download
"""
_FILES = """
    thumbs.db thumbs.db:encryptable ehthumbs.db ehthumbs_vista.db desktop.ini autorun.inf
    pagefile.sys hiberfil.sys swapfile.sys picasa.ini .picasa.ini zbthumbnail.info
    ._* :2e* .ds_store .apdisk .localized .volumeicon.icns .com.apple.timemachine.donotpresent
    .trashed-* .pending-* .thumbdata* .nomedia .directory .gitignore
    .stignore .syncthing.*.tmp ~syncthing~*.tmp .dropbox .dropbox.* .*.icloud
    .sync_*.db *@synoeastream *@synoresource
    .nfs* .smbdelete* .afpdeleted* .fuse_hidden* .goutputstream-* .~lock.*# ~$* ~*.tmp
    *.part *.part.met *.partial *.filepart *.crdownload *.download *.opdownload *.tmp *.aria2 *.!ut *.!qb *.!sync *.bts
    *.xltd *.ytdl *.part-frag* *.fdmdownload
    *.swp *.swo *.swx
    .keep .gitkeep .placeholder $$$.$$$ *_$folder$
"""
# These have the characters that separate the words above.
_MORE_FOLDERS = ["system volume information", "network trash folder", "thevolumesettingsfolder", "temporary items"]
# The picture of a folder on macOS; a NAS hands out its carriage return as a private character.
_MORE_FILES = ["icon\r", "icon\uf00d"]


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)))


_FOLDER = _any_of([*_FOLDERS.split(), *_MORE_FOLDERS])
_FILE = _any_of([*_FILES.split(), *_MORE_FILES, *_FOLDERS.split(), *_MORE_FOLDERS])


def is_clutter_folder(name: str) -> bool:
    """Whether a folder of this name, which stands alone, holds nothing but clutter."""
    return bool(_FOLDER.match(name.casefold()))


def is_clutter(path: str) -> bool:
    """Whether a file of this name or relative path, or a blob of this name, is clutter or lies in such a folder.

    What a sidecar is to its file, it is to clutter.
    """
    *folders, name = re.split(r"[/\\]", sidecar_target(path) or path)
    return bool(_FILE.match(name.casefold())) or any(map(is_clutter_folder, folders))
