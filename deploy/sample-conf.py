#!/usr/bin/env python3
#  deploy/sample-conf.py - writes the sample configuration anew, from what umbp-node --help says: all settings, each
#  with its help and its default, commented out. What stands above the first section stays.
#
#      build/bin/umbp-node --help | deploy/sample-conf.py deploy/umbp-node.conf
import re
import sys
import textwrap

def settings (text):
    """Sections as (name, [(key, help, allowed, default)]), in their order"""
    sections, section, flag, lines = [], None, None, []

    def done ():
        if flag:
            said = ' '.join (lines)
            allowed = re.match (r'(.*) \[(.*)\]$', lines[-1])
            words = ' '.join (lines[:-1])
            sections[-1][1].append ((flag[len (section) + 1:].replace ('-', '_'),
                                     words[0].upper () + words[1:], allowed[1], allowed[2]))
            assert said

    for line in text.splitlines ():
        if re.match (r'[a-z_]+$', line):
            done ()
            section, flag = line, None
            sections.append ((section, []))
        elif section and (found := re.match (r'  --([a-z0-9-]+)', line)):
            done ()
            flag, lines = found[1], []
        elif section and line.startswith ('        '):
            lines.append (line.strip ())
    done ()
    return sections

def main ():
    path = sys.argv[1]
    head = re.match (r'(#.*\n|\n)*', open (path).read ())[0].rstrip ('\n')
    out = [head]
    for name, rows in settings (sys.stdin.read ()):
        entries = []
        for key, words, allowed, default in rows:
            entries.append ('\n'.join (
                textwrap.wrap ('%s. Allowed: %s' % (words, allowed), 96, initial_indent='    #  ',
                               subsequent_indent='    #  ', break_on_hyphens=False)
                + ['    #%s = %s' % (key, default)]))
        out.append (name + '\n' + '\n\n'.join (entries))
    open (path, 'w').write ('\n\n'.join (out) + '\n')

main ()
