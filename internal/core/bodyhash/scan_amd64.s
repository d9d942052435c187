#include "textflag.h"

// func scanAVX2(p *byte, n int) int
//
// For each octet x and its successor y: x is a tab, or x is a space and y a space or CR,
// or x is a CR and y no LF.
TEXT ·scanAVX2(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	SUBQ $33, CX               // the last start of a step
	XORQ AX, AX
	MOVL $0x09, DX
	VMOVD DX, X10
	VPBROADCASTB X10, Y10      // tabs
	MOVL $0x20, DX
	VMOVD DX, X11
	VPBROADCASTB X11, Y11      // spaces
	MOVL $0x0d, DX
	VMOVD DX, X12
	VPBROADCASTB X12, Y12      // CRs
	MOVL $0x0a, DX
	VMOVD DX, X13
	VPBROADCASTB X13, Y13      // LFs

step:
	CMPQ AX, CX
	JGT  done
	VMOVDQU (SI)(AX*1), Y0     // x
	VMOVDQU 1(SI)(AX*1), Y1    // y
	VPCMPEQB Y0, Y10, Y2       // x is a tab
	VPCMPEQB Y0, Y11, Y3       // x is a space
	VPCMPEQB Y1, Y11, Y4
	VPCMPEQB Y1, Y12, Y5
	VPOR Y4, Y5, Y4            // y is a space or CR
	VPAND Y3, Y4, Y3
	VPCMPEQB Y0, Y12, Y6       // x is a CR
	VPCMPEQB Y1, Y13, Y7       // y is an LF
	VPANDN Y6, Y7, Y7
	VPOR Y2, Y3, Y2
	VPOR Y2, Y7, Y2
	VPMOVMSKB Y2, DX
	TESTL DX, DX
	JNZ  found
	ADDQ $32, AX
	JMP  step

found:
	BSFL DX, DX
	ADDQ DX, AX

done:
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET
